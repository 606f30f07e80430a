"""What do tunnels chosen by our rule, and by re6st's, make of an Internet, and how long does simulating take?

Each case is one ``netns-lab simulate``; what a user would see is recorded, after the last round.  That the
peer is the real one is shown by the means that re6st's rule is known to reach.
"""

import argparse
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
    words: str
    within_s: float
    at_most: Mapping[str, float] = field(default_factory=dict)
    """What the last round may show at most."""


_RULES = "--tunnels 10 --rounds {} --seed 1 --rule {}"
_NEAR_THE_BEST = {"median_ratio_best": 1.02, "p99_ratio_best": 1.25, "control_B_s": 4000.0}
CASES = (
    Case("ours, 490 hosts, 40 rounds", f"{PLANETLAB} {_RULES.format(40, 'ours')}", 30, {"mean_ms": 126.5}),
    Case("re6st, 490 hosts, 40 rounds", f"{PLANETLAB} {_RULES.format(40, 're6st')}", 30),
    Case(
        "ours, 490 hosts, 10 rounds",
        f"{PLANETLAB} {_RULES.format(10, 'ours')}",
        30,
        {"mean_ms": 127.5, **_NEAR_THE_BEST},
    ),
    Case(
        "ours, 490 nodes made up, 10 rounds",
        f"--synthetic 490 {_RULES.format(10, 'ours')}",
        30,
        _NEAR_THE_BEST,
    ),
)
KNOWN = Case(
    "re6st as it is known",
    f"{PLANETLAB} --rule re6st --metric re6st --relay-ms 0 --noise 0 --tunnels 10 --rounds 288 --seed 1",
    600,
)
KNOWN_MEAN_MS = {12: 149.0, 24: 142.0, 96: 135.0, 288: 132.0}
"""Refreshes -> mean RTT that re6st's rule is known to reach, with its metric and free forwarding."""
WITHIN_MS = 3.0


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a simulation states, and what it took."""

    rounds: Sequence[Report]
    round_s: float
    seconds: float
    cpu_s: float


def simulate(case: Case) -> Simulated:
    """Run one; RouterError when it states nothing."""
    print(f"simulator: {case.title}", file=sys.stderr, flush=True)
    began, used = time.monotonic(), _children_s()
    report = report_of("simulate", *case.words.split(), "--json", within_s=2 * case.within_s + 60)
    if not report.get("rounds"):
        raise RouterError(f"{case.title}: the report states no round")
    return Simulated(report["rounds"], report["round_s"], time.monotonic() - began, _children_s() - used)


def _children_s() -> float:
    """Processor time of the processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def figures_of(case: Case, simulated: Simulated) -> list[Figure]:
    """A row of the table: the last round."""
    last = simulated.rounds[-1]
    row = [
        figure(
            name,
            round(last[key], 3) if last.get(key) is not None else None,
            unit,
            of=case.title,
            at_most=case.at_most.get(key),
        )
        for key, (name, unit) in _COLUMNS.items()
    ]
    sent = [
        each["control_bytes"]["max"] / simulated.round_s
        for each in simulated.rounds
        if "control_bytes" in each
    ]
    row.append(
        figure(
            "selection, most of any node",
            round(max(sent)) if sent else None,
            "B/s",
            of=case.title,
            at_most=case.at_most.get("control_B_s"),
        )
    )
    return [
        *row,
        figure("took", round(simulated.seconds, 1), "s", of=case.title, at_most=case.within_s),
        figure("CPU", round(simulated.cpu_s, 1), "s", of=case.title),
    ]


def known_figures(rounds: Sequence[Report]) -> list[Figure]:
    """Whether the peer is the real one: its means beside those that it is known for."""
    found = {each["round"]: each["mean_ms"] for each in rounds}
    return [
        figure(
            "mean RTT",
            round(found[refreshes], 1) if refreshes in found else None,
            "ms",
            of=f"{KNOWN.title}, {refreshes} refreshes",
            at_least=mean_ms - WITHIN_MS,
            at_most=mean_ms + WITHIN_MS,
        )
        for refreshes, mean_ms in KNOWN_MEAN_MS.items()
    ]


def measure(options: argparse.Namespace) -> Measured:
    """Both rules; without ``--quick`` the peer's known means, too, which take minutes."""
    figures = [each for case in CASES for each in figures_of(case, simulate(case))]
    if not options.quick:
        figures += known_figures(simulate(KNOWN).rounds)
    return Measured(figures, notes=commands(*CASES, *([] if options.quick else [KNOWN])))


def commands(*cases: Case) -> list[str]:
    """Notes that say how to see the same."""
    return [f"{case.title}: `netns-lab simulate {case.words}`" for case in cases]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulator", description=__doc__)
    sys.exit(run("simulator", "What do tunnels chosen by either rule make of an Internet?", parser, measure))
