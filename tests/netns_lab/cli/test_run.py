"""Playing a scenario: exit statuses, one line per problem, and a Ctrl-C that leaves nothing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from netns_lab import cleanup
from netns_lab.cli import main
from netns_lab.namespace import NETNS_DIR

STORY = """
import asyncio, sys
sys.path[:0] = {path!r}
from netns_lab import cli
from netns_lab.scenarios import SCENARIOS
from netns_lab.scenarios.scenario import Scenario
from netns_lab.story import Figure
from re6st_core.errors import RouterError

async def play(lab, story):
    print(lab.record.lab_id, file=sys.stderr, flush=True)
    story.figure("answer", Figure(42, "", at_least={at_least}))
    {body}

SCENARIOS["test"] = Scenario("a test", "demo.toml", play)
sys.exit(cli.main(["run", "test", *{options!r}]))
"""


def run_story(*options: str, at_least: int = 0, body: str = "pass") -> subprocess.Popen[str]:
    """`netns-lab run` of a story whose body is given, in a process of its own."""
    program = STORY.format(path=sys.path, options=options, at_least=at_least, body=body)
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def lab_of(process: subprocess.Popen[str]) -> str:
    """The id of the lab that a story says it plays in."""
    assert process.stderr is not None
    for line in process.stderr:
        if len(line.strip()) == 6:
            return line.strip()
    raise AssertionError("the story has not begun")


def test_a_broken_topology_is_refused_with_all_mistakes_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "broken.toml"
    file.write_text('internet = "here"\nspeed = 1\n')
    assert main(["run", "demo", "--topology", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert all(line.startswith(f"netns-lab: {file}: ") for line in lines)


def test_an_unknown_scenario_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "dream"]) == 2
    assert capsys.readouterr().err == "netns-lab: no scenario 'dream'; there are: demo\n"


def test_not_root_or_programs_missing_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("netns_lab.programs.LAB_PACKAGES", {"no-such-program": "its-package"})
    assert main(["run", "demo", "--exit"]) == 2
    assert "apt-get install -y its-package" in capsys.readouterr().err


@pytest.mark.root
@pytest.mark.parametrize(("at_least", "status"), [(0, 0), (43, 1)])
def test_the_verdict_is_in_the_json_and_the_exit_status(at_least: int, status: int) -> None:
    with run_story("--json", at_least=at_least) as process:
        output, errors = process.communicate(timeout=30)
    report = json.loads(output)
    assert process.returncode == status
    assert report["verdict"] == ("fail" if status else "pass")
    assert report["figures"]["answer"]["value"] == 42
    assert ("logs of the lab" in errors) == bool(status)  # kept when it failed
    if status:
        kept = Path(errors.partition("logs of the lab: ")[2].split()[0])
        assert (kept / "logs").is_dir()
        subprocess.run(["rm", "-r", str(kept)], check=True)


@pytest.mark.root
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_leaves_nothing(number: signal.Signals) -> None:
    with run_story() as process:
        lab_id = lab_of(process)
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode in (0, 130)
    assert not list(NETNS_DIR.glob(f"nl-{lab_id}-*"))
    assert lab_id not in {record.lab_id for record in cleanup.records()}


@pytest.mark.root
def test_a_story_that_cannot_go_on_fails_in_one_line() -> None:
    with run_story("--exit", body="raise RouterError('no way')") as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "netns-lab: no way" in errors.splitlines()
    subprocess.run(["rm", "-r", errors.partition("logs of the lab: ")[2].split()[0]], check=True)
