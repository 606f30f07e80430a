"""One performance of a scenario: build the lab, play, judge, write the report, remove everything."""

import asyncio
import contextlib
import errno
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netns_lab.control.labs import socket_path
from netns_lab.control.server import ControlServer
from netns_lab.control.steering import Steering
from netns_lab.lab import Lab
from netns_lab.scenarios.scenario import Outcome, Scenario
from netns_lab.stage.report import ReportFolder, timeline_of
from netns_lab.stage.stage import Stage
from netns_lab.stage.story import Story
from netns_lab.topology import Topology
from re6st_core.errors import Re6stError, RouterError


@dataclass(frozen=True, slots=True)
class Result:
    """How it went; ``report`` is the object that ``--json`` prints."""

    name: str
    outcome: Outcome
    passed: bool
    interrupted: bool  # by a signal, before the story was told
    report: dict[str, Any]
    now_met: tuple[str, ...]
    files: Path | None  # what is left of the lab, to look into


async def perform(
    scenario: Scenario,
    topology: Topology,
    story: Story,
    folder: ReportFolder,
    *,
    name: str,
    keep: Path | None = None,
    internet: str | None = None,
    stay: bool = False,
) -> Result:
    """Play it on a lab of its own.

    ``folder`` is entered already.  ``stay``: wait for Ctrl-C when the story is told.  SIGINT, SIGTERM and
    SIGHUP end it cleanly.  Raises ConfigError when the lab can't be built or the report can't be written.
    """
    lab = Lab(topology, label=name, keep=keep, internet=internet)
    told = False
    stage: Stage | None = None
    flows: dict[str, Any] = {"flows": []}
    with contextlib.closing(story), _ended_by_signals(), contextlib.suppress(asyncio.CancelledError):
        with story.step("building the Internet"):
            lab.__enter__()
        try:
            stage = Stage(lab, story, client_count=scenario.client_count)
            steering = Steering(lab, stage.mesh)
            async with ControlServer(socket_path(lab.record), steering.handle):
                with stage:
                    await _tell(scenario, stage)
                    told = True
                    if stay:
                        story.event("everything stays up until Ctrl-C")
                        await asyncio.Event().wait()
        except Exception as exc:
            lab.keep_files |= _is_our_mistake(exc)  # its traces are wanted
            raise
        finally:
            flows = timeline_of(stage.flows if stage else [])
            lab.keep_files |= scenario.outcome(story) is Outcome.WORSE
            lab.__exit__(None, None, None)
    identity = {"lab": lab.record.lab_id} if hasattr(lab, "record") else {}
    outcome = {"outcome": scenario.outcome(story).value}
    report = identity | story.report() | scenario.expectation() | outcome
    if told:
        folder.write(report | {"title": scenario.title, "timeline": flows})
    return Result(
        name=name,
        outcome=scenario.outcome(story),
        passed=story.passed,
        interrupted=not told,
        report=report,
        now_met=scenario.now_met(story),
        files=lab.directory if lab.keep_files and hasattr(lab, "directory") else None,
    )


def _is_our_mistake(exc: Exception) -> bool:
    """Whether it is neither what a lab can trip on nor the end of the terminal that the story was told to."""
    terminal_closed = isinstance(exc, OSError) and exc.errno == errno.EIO
    return not (terminal_closed or isinstance(exc, Re6stError))


async def _tell(scenario: Scenario, stage: Stage) -> None:
    try:
        async with asyncio.timeout(scenario.within_s):
            await stage.mesh.unless_one_dies(_play(scenario, stage))
    except TimeoutError:
        stage.expect(False, f"the story was not told within {scenario.within_s:g} s")
    except Re6stError as exc:
        stage.expect(False, str(exc))
    _say_what_was_carried(stage)


def _say_what_was_carried(stage: Stage) -> None:
    """How late and how busy the Internet was: a story on one that was late says little about the mesh."""
    internet = stage.lab.internet
    if internet.alive:  # else its end is told already
        try:
            internet.check()
            stage.event(f"the Internet ({internet.kind}): {internet.stats().summary()}")
        except RouterError as exc:
            stage.expect(False, str(exc))


async def _play(scenario: Scenario, stage: Stage) -> None:
    await scenario.play(stage)


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end it as Ctrl-C does: this task is cancelled, and removes everything."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
