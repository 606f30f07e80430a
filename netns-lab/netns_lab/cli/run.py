"""``netns-lab run``: play a scenario and judge it."""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path

from rich.console import Console

from netns_lab import programs
from netns_lab.cli.parsers import Commands
from netns_lab.lab import Lab
from netns_lab.scenarios import SCENARIOS, Scenario
from netns_lab.story import Story
from netns_lab.topology import TOPOLOGIES, load_topology
from re6st_core.errors import ConfigError, Re6stError


def add_parser(commands: Commands) -> None:
    """Add the sub-command."""
    run = commands.add_parser("run", help="run a scenario")
    run.add_argument("scenario", metavar="NAME", help="see netns-lab list")
    run.add_argument(
        "--exit", action="store_true", help="leave when the story is told instead of waiting for Ctrl-C"
    )
    run.add_argument(
        "--json", action="store_true", help="print the report as one JSON object; implies --exit"
    )
    run.add_argument("--keep", type=Path, metavar="DIR", help="put all files of the lab there and leave them")
    run.add_argument("--topology", type=Path, metavar="FILE", help="instead of the scenario's own")
    run.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> int:
    scenario = SCENARIOS.get(arguments.scenario)
    if scenario is None:
        raise ConfigError(f"no scenario {arguments.scenario!r}; there are: {', '.join(SCENARIOS)}")
    topology = load_topology(arguments.topology or TOPOLOGIES / scenario.topology)
    programs.require(programs.LAB_PACKAGES | programs.MESH_PACKAGES)
    story = Story(arguments.scenario, Console(stderr=arguments.json))
    stay = not (arguments.exit or arguments.json)
    lab = Lab(topology, label=arguments.scenario, keep=arguments.keep)
    try:
        interrupted = asyncio.run(_play(scenario, lab, story, stay=stay))
    finally:
        if lab.keep_files and hasattr(lab, "directory"):
            print(f"files and logs of the lab: {lab.directory}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(story.report()))
    for failure in story.failures:
        print(f"netns-lab: {failure}", file=sys.stderr)
    if not story.passed:
        return 1
    return 130 if interrupted else 0


async def _play(scenario: Scenario, lab: Lab, story: Story, *, stay: bool) -> bool:
    """Build, play, remove; returns whether it was ended by a signal before the story was told."""
    told = False
    # SIGTERM and SIGHUP end it as Ctrl-C does: by cancelling this task, so that everything is removed.
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        with story.step("building the Internet"):
            lab.__enter__()
        try:
            await scenario.play(lab, story)
            told = True
            if stay:
                story.event("everything stays up until Ctrl-C")
                await asyncio.Event().wait()
        except Re6stError as exc:
            story.expect(False, str(exc))
        except Exception:  # a mistake of ours: its traces are wanted
            lab.keep_files = True
            raise
        finally:
            lab.keep_files |= not story.passed
            lab.__exit__(None, None, None)
    return not told and story.passed
