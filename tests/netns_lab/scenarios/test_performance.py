"""A performance: what the story lacks, takes too long for or trips over is told, and the lab is removed."""

import asyncio
import dataclasses
import errno
import io
import os
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from rich.console import Console

from netns_lab.namespace import NETNS_DIR
from netns_lab.scenarios.performance import Result, perform
from netns_lab.scenarios.scenario import Outcome, Scenario
from netns_lab.stage.report import ReportFolder
from netns_lab.stage.stage import Stage
from netns_lab.stage.story import Story
from netns_lab.topology import Topology, parse_topology
from re6st_core.errors import ConfigError

pytestmark = pytest.mark.root


def performed(
    play: Callable[[Stage], Awaitable[None]],
    topology: Topology,
    tmp_path: Path,
    output: io.StringIO | None = None,
) -> Result:
    """Play it on a lab whose mesh is never started."""
    scenario = Scenario("a test", "none.toml", play, within_s=2.0)
    story = Story("test", Console(file=output or io.StringIO()))
    with ReportFolder(tmp_path / "report") as folder:
        return asyncio.run(perform(scenario, topology, story, folder, name="test"))


@pytest.fixture
def topology() -> Topology:
    document = {
        "title": "two machines",
        "internet": "203.0.113.0/24",
        "site": [
            {"name": "registry", "address": "203.0.113.1"},
            {"name": "a", "address": "203.0.113.2"},
        ],
        "delays": {"rtt_ms": [[0, 10], [10, 0]]},
    }
    return parse_topology(document, name="two", source="two")


def test_a_story_that_hangs_fails_in_its_time(topology: Topology, tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        await asyncio.Event().wait()

    result = performed(play, topology, tmp_path)
    assert result.outcome is Outcome.WORSE
    assert result.report["failures"] == ["the story was not told within 2 s"]
    assert result.files is not None
    shutil.rmtree(result.files)


def test_a_mistake_in_a_story_is_no_verdict(topology: Topology, tmp_path: Path) -> None:
    labs: list[str] = []

    async def play(stage: Stage) -> None:
        labs.append(stage.lab.record.lab_id)
        shutil.rmtree(stage.lab.directory)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        performed(play, topology, tmp_path)
    assert not list(NETNS_DIR.glob(f"nl-{labs[0]}-*"))
    assert not list(tmp_path.iterdir())


def test_a_topology_that_cannot_be_played_on_leaves_nothing(
    topology: Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(stage: Stage) -> None:
        raise AssertionError

    with tempfile.TemporaryDirectory() as place:
        monkeypatch.setattr(tempfile, "tempdir", place)
        with pytest.raises(ConfigError, match="no node hosts the registry"):
            performed(play, dataclasses.replace(topology, registry=None), tmp_path)
        assert not os.listdir(place)


class Terminal(io.StringIO):
    """A terminal that can be closed."""

    closed_by_user = False

    def write(self, text: str) -> int:
        if self.closed_by_user:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().write(text)


def test_a_terminal_that_is_closed_ends_the_story_and_leaves_nothing(
    topology: Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labs: list[str] = []
    terminal = Terminal()

    async def play(stage: Stage) -> None:
        labs.append(stage.lab.record.lab_id)
        terminal.closed_by_user = True
        stage.event("nobody reads this")

    with tempfile.TemporaryDirectory() as place:
        monkeypatch.setattr(tempfile, "tempdir", place)
        with pytest.raises(OSError, match="Input/output error"):
            performed(play, topology, tmp_path, terminal)
        assert not os.listdir(place)
    assert not list(NETNS_DIR.glob(f"nl-{labs[0]}-*"))


def test_a_story_that_is_told_has_a_report_and_no_lab_left(topology: Topology, tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.figure("one", 1, at_most=1)

    result = performed(play, topology, tmp_path)
    assert (result.outcome, result.passed, result.files) == (Outcome.AS_EXPECTED, True, None)
    assert (tmp_path / "report" / "timeline.svg").exists()


def test_a_story_ends_with_what_the_internet_carried(topology: Topology, tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.mesh.machine("a").run(["ping", "-c", "1", "-W", "2", "203.0.113.1"])

    result = performed(play, topology, tmp_path)
    last = result.report["events"][-1]["text"]
    assert re.match(r"the Internet \((switch|netem)\): \d+ frames.*; dropped: ", last)
    assert result.report["failures"] == []


def test_an_interface_that_went_away_spoils_the_story(topology: Topology, tmp_path: Path) -> None:
    async def play(stage: Stage) -> None:
        stage.mesh.machine("a").ip(["link del net0"])

    result = performed(play, topology, tmp_path)
    assert re.fullmatch(r".*was deleted: net0 in nl-.*-a", result.report["failures"][0])
    assert result.files is not None
    shutil.rmtree(result.files)
