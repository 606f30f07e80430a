"""What do tunnels chosen by our rule, and by re6st's, make of an Internet, and how long does simulating take?

Each case is one ``netns-lab simulate``; what the user would see is what is recorded, after the last round.
"""

import argparse
import sys
import time
from dataclasses import dataclass

from benchmarks.lab_command import Report, report_of
from benchmarks.result import Figure, Measured, figure, run
from re6st_core.errors import RouterError

PLANETLAB = "netns-lab/data/planetlab490_median_ms.csv.xz"
_COLUMNS = {
    "mean_ms": ("mean RTT", "ms"),
    "median_ratio_best": ("median of best", ""),
    "p99_ratio_best": ("p99 of best", ""),
    "median_ratio_direct": ("median of direct", ""),
    "faster_than_direct": ("faster than direct", ""),
    "mean_hops": ("hops", ""),
    "components": ("components", ""),
}
"""What a round states, and what it is called here."""


@dataclass(frozen=True, slots=True)
class Case:
    """One simulation, and how long it may take."""

    title: str
    words: tuple[str, ...]
    within_s: float
    quick: bool = False  # part of a quick run


CASES = (
    Case(
        "ours, 490 hosts, 40 rounds",
        (PLANETLAB, "--rule", "ours", "--tunnels", "10", "--rounds", "40", "--seed", "1"),
        30,
        quick=True,
    ),
    Case(
        "re6st, 490 hosts, 40 rounds",
        (PLANETLAB, "--rule", "re6st", "--tunnels", "10", "--rounds", "40", "--seed", "1"),
        30,
        quick=True,
    ),
)


def simulate(case: Case) -> tuple[Report, float]:
    """The last round that a simulation states, and how many seconds it took."""
    began = time.monotonic()
    report = report_of("simulate", *case.words, "--json", within_s=2 * case.within_s + 60)
    elapsed_s = time.monotonic() - began
    if not report.get("rounds"):
        raise RouterError(f"{case.title}: the report states no round")
    last: Report = report["rounds"][-1]
    return last, elapsed_s


def figures_of(case: Case, last: Report, elapsed_s: float) -> list[Figure]:
    """A row of the table."""
    row = [
        figure(name, round(last[key], 3) if key in last else None, unit, of=case.title)
        for key, (name, unit) in _COLUMNS.items()
    ]
    return [*row, figure("took", round(elapsed_s, 1), "s", of=case.title, at_most=case.within_s)]


def measure(options: argparse.Namespace) -> Measured:
    """Every case."""
    figures: list[Figure] = []
    for case in CASES:
        if options.quick and not case.quick:
            continue
        print(f"simulator: {case.title}", file=sys.stderr, flush=True)
        figures += figures_of(case, *simulate(case))
    commands = [f"{case.title}: `netns-lab simulate {' '.join(case.words)}`." for case in CASES]
    return Measured(figures, notes=commands)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulator", description=__doc__)
    sys.exit(run("simulator", "What do tunnels chosen by either rule make of an Internet?", parser, measure))
