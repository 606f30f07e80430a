"""``netns-lab run``: play a scenario, or all of them, and judge."""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from netns_lab import programs
from netns_lab.cli.parsers import Commands, add_internet
from netns_lab.lab import packages
from netns_lab.scenarios import SCENARIOS, Scenario
from netns_lab.scenarios.performance import Result, perform
from netns_lab.scenarios.suite import passed, remarks, suite_report, table_of
from netns_lab.stage.report import ReportFolder, default_folder, require_free, stamp
from netns_lab.stage.story import Story
from netns_lab.topology import TOPOLOGIES, load_topology
from re6st_core.errors import ConfigError, Re6stError

_ALL = "all"


def add_parser(commands: Commands) -> None:
    """Add the sub-command."""
    run = commands.add_parser("run", help="run a scenario, or all")
    run.add_argument("scenario", metavar="NAME", help=f"see netns-lab list; {_ALL}: one after the other")
    run.add_argument(
        "--exit", action="store_true", help="leave when the story is told instead of waiting for Ctrl-C"
    )
    run.add_argument(
        "--json", action="store_true", help="print the report as one JSON object; implies --exit"
    )
    run.add_argument(
        "--report", type=Path, metavar="DIR", help="folder for report.json and timeline.svg; absent or empty"
    )
    run.add_argument("--keep", type=Path, metavar="DIR", help="put all files of the lab there and leave them")
    add_internet(run)
    run.add_argument("--topology", type=Path, metavar="FILE", help="instead of the scenario's own")
    run.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.scenario == _ALL:
        return _run_all(arguments)
    scenario = SCENARIOS.get(arguments.scenario)
    if scenario is None:
        raise ConfigError(f"no scenario {arguments.scenario!r}; there are: {', '.join(SCENARIOS)}, {_ALL}")
    result = _perform(arguments.scenario, scenario, arguments, arguments.report)
    if arguments.json:
        print(json.dumps(result.report))
    for failure in result.report["failures"]:
        print(f"netns-lab: {failure}", file=sys.stderr)
    for line in remarks([result]) if result.now_met and not result.report["failures"] else []:
        print(f"netns-lab: {line}", file=sys.stderr)
    if result.interrupted:
        return 130
    return 0 if result.passed else 1


def _run_all(arguments: argparse.Namespace) -> int:
    refused = [option for option in ("keep", "topology") if getattr(arguments, option) is not None]
    if refused:
        raise ConfigError(*(f"--{option} is for a single scenario" for option in refused))
    _require_all(arguments.report)
    results: list[Result] = []
    broken: Re6stError | None = None
    try:
        for result in _performances(arguments):
            results.append(result)
            if result.interrupted:
                break
    except Re6stError as exc:  # a full disk, say: what was played until then is not lost
        broken = exc
    if arguments.json:
        print(json.dumps(suite_report(results)))
    console = Console(stderr=arguments.json)
    console.print(table_of(results))
    for line in remarks(results):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if broken is not None:
        raise broken
    if results[-1].interrupted:
        return 130
    return 0 if passed(results) else 1


def _require_all(report: Path | None) -> None:
    """What the last scenario of all lacks is known before the first is played."""
    needed = dict(programs.MESH_PACKAGES)
    for name, scenario in SCENARIOS.items():
        needed |= packages(load_topology(TOPOLOGIES / scenario.topology))
        if report is not None:
            require_free(report / name)
    programs.require(needed)


def _performances(arguments: argparse.Namespace) -> Iterator[Result]:
    arguments.exit = True
    for number, (name, scenario) in enumerate(SCENARIOS.items(), 1):
        print(f"--- {number}/{len(SCENARIOS)}: {name}: {scenario.title}", file=sys.stderr, flush=True)
        yield _perform(name, scenario, arguments, arguments.report / name if arguments.report else None)


def _perform(name: str, scenario: Scenario, arguments: argparse.Namespace, folder: Path | None) -> Result:
    topology = load_topology(arguments.topology or TOPOLOGIES / scenario.topology)
    programs.require(packages(topology) | programs.MESH_PACKAGES)
    place = folder or default_folder(name, now=stamp())
    story = Story(name, Console(stderr=arguments.json))
    with ReportFolder(place, prune=folder is None) as report:
        result = asyncio.run(
            perform(
                scenario,
                topology,
                story,
                report,
                name=name,
                keep=arguments.keep,
                internet=arguments.internet,
                stay=not (arguments.exit or arguments.json),
            )
        )
    if place.exists():
        print(f"report: {place}", file=sys.stderr)
    if result.files is not None:
        print(f"files and logs of the lab: {result.files}", file=sys.stderr)
    return result
