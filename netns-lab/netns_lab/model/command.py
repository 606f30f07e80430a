"""``netns-lab model``: stories told by real node engines on a modelled Internet, with many random seeds."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from netns_lab.cli.parsers import Commands
from netns_lab.model.runner import Run, Summary, tell, tell_all
from netns_lab.model.stage import Result
from netns_lab.model.stories import STORIES
from re6st_core.errors import ConfigError

ALL = "all"
FEWEST_NODES, MOST_NODES = 8, 500
MOST_SEEDS = 1_000_000
PLAIN_EVERY_S = 30.0
"""Without a terminal, progress is printed this often."""
MAX_SHOWN = 3
"""Failed runs of a story that are told in full."""


def add_parser(commands: Commands) -> None:
    """Add the sub-command."""
    model = commands.add_parser("model", help="tell stories without a kernel, with many random seeds")
    model.add_argument("story", metavar="NAME", nargs="?", help="a story, or all; without: list them")
    model.add_argument("--seeds", type=int, default=10, metavar="N", help="seeds 1 to N (default: 10)")
    model.add_argument("--seed", type=int, metavar="SEED", help="this seed only")
    model.add_argument("--nodes", type=int, default=24, metavar="N", help="default: 24")
    model.add_argument("--jobs", type=int, metavar="N", help="processes (default: one per processor)")
    model.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    model.add_argument(
        "--trace", action="store_true", help="with --seed: all that engines hear and do, on standard error"
    )
    model.set_defaults(command=run, unprivileged=True)


def run(arguments: argparse.Namespace) -> int:
    """Tell what was asked for; exit status 0 if no run failed.  Raises ConfigError for wrong arguments."""
    if arguments.story is None:
        for name, story in STORIES.items():
            print(f"{name:16} {(story.__doc__ or '').strip()}")
        return 0
    runs = _runs(arguments)
    summary, console = Summary(), Console(stderr=True)
    with _Interruption() as interruption:
        if arguments.trace:
            summary.add(runs[0], tell(runs[0], lambda line: print(line, file=sys.stderr)))
        else:
            jobs = min(arguments.jobs or os.cpu_count() or 1, len(runs))
            results = tell_all(runs, jobs, lambda: interruption.came)
            for told, result in _shown(results, len(runs), console):
                summary.add(told, result)
        if interruption.came:
            told_now = sum(map(len, summary.results.values()))
            console.print(f"stopped after {told_now} of {len(runs)} runs", highlight=False)
    if arguments.json:
        print(json.dumps(summary.report()))
    else:
        _print(summary)
    if not summary.passed:
        return 1
    return 130 if interruption.came else 0


class _Interruption:
    """Ctrl-C and SIGTERM ask it to come to an end, which no exception could do safely while it forks."""

    def __init__(self) -> None:
        self.came = False

    def __enter__(self) -> Self:
        self._before = [(n, signal.signal(n, self._note)) for n in (signal.SIGINT, signal.SIGTERM)]
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: object) -> None:
        if self.came:
            raise KeyboardInterrupt
        self.came = True


def _runs(arguments: argparse.Namespace) -> list[Run]:
    problems = []
    if arguments.story not in (ALL, *STORIES):
        problems.append(f"no story {arguments.story!r}; there are: {ALL}, {', '.join(STORIES)}")
    if not FEWEST_NODES <= arguments.nodes <= MOST_NODES:
        problems.append(f"--nodes {arguments.nodes} is outside {FEWEST_NODES}..{MOST_NODES}")
    if not 1 <= arguments.seeds <= MOST_SEEDS:
        problems.append(f"--seeds {arguments.seeds} is outside 1..{MOST_SEEDS}")
    if arguments.jobs is not None and arguments.jobs < 1:
        problems.append(f"--jobs {arguments.jobs} is less than 1")
    if arguments.trace and (arguments.seed is None or arguments.story == ALL):
        problems.append("--trace needs one story and --seed")
    if problems:
        raise ConfigError(*problems)
    stories = list(STORIES) if arguments.story == ALL else [arguments.story]
    seeds = range(1, arguments.seeds + 1) if arguments.seed is None else [arguments.seed]
    return [Run(story, seed, arguments.nodes) for seed in seeds for story in stories]


def _shown(
    results: Iterable[tuple[Run, Result]], count: int, console: Console
) -> Iterator[tuple[Run, Result]]:
    """Pass results on, showing how far it is; failures at once."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("stories", total=count)
        shown = time.monotonic()
        for number, (told, result) in enumerate(results, 1):
            progress.advance(task)
            if not console.is_terminal and time.monotonic() - shown > PLAIN_EVERY_S:
                shown = time.monotonic()
                console.print(f"{number} of {count} runs", highlight=False)
            if not result.passed:
                first = result.failures[0].strip().splitlines()[-1]
                console.print(
                    f"{told.story} failed with seed {told.seed}: {first}", markup=False, highlight=False
                )
            yield told, result


def _print(summary: Summary) -> None:
    report = summary.report()
    stories = report["stories"]
    assert isinstance(stories, dict), "as report() makes it"
    for name, story in stories.items():
        print(f"{name}: {story['runs']} runs, {story['failed']} failed")
        for figure, values in story["figures"].items():
            print(f"    {figure:20} {_described(values)}")
    for name in stories:
        for told, result in summary.failed(name)[:MAX_SHOWN]:
            print(f"{name}, seed {told.seed}:", *result.failures, sep="\n    ")
            print(f"    again: {told.command}")
    print(
        f"{report['verdict']}: {report['simulated_minutes']} simulated minutes, "
        f"{report['simulated_minutes_per_s']} per second"
    )


def _described(values: dict[str, object]) -> str:
    """Median, 95th percentile and most; the bound, and how often it was missed."""
    shown = [f"{values[k]:>9g}" if k in values else "        -" for k in ("median", "p95", "most")]
    text = f"{' '.join(shown)} {values['unit']}"
    if values["bound"]:
        text += f"  (bound {values['bound']}, missed {values['missed']})"
    if values["missed"] and "gap" in values:
        text += f"  known: {values['gap']}"
    return text
