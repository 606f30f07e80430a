"""What do real node engines on a modelled Internet do, over many random seeds, and how fast is the model?

One ``netns-lab model all``: every story with seeds 1 to N; per story how many runs failed, and of each figure
the median, the 95th percentile and the most.
"""

import argparse
import sys
from collections.abc import Iterator

from benchmarks.lab_command import Report, report_of
from benchmarks.result import Figure, Measured, figure, run

_WITHIN_S = 1800.0


def figures_of(report: Report) -> list[Figure]:
    """The speed first, then each story: runs that failed, and its figures over all runs."""
    speed = report["simulated_minutes_per_s"]
    per_thousand = round(1000 / speed, 1) if speed else None
    figures = [
        figure("value", per_thousand, "s", of="1000 simulated minutes take"),
        figure("value", report["simulated_minutes"], "minutes", of="simulated in this run"),
    ]
    for name, story in report["stories"].items():
        figures.append(
            figure("most", story["failed"], "", of=f"{name}: runs that failed of {story['runs']}", at_most=0)
        )
        for what, spread in story["figures"].items():
            figures += list(_spread(f"{name}: {what}", spread))
    return figures


def _spread(of: str, spread: Report) -> Iterator[Figure]:
    """A figure over all runs; its bound stands beside the worst one, and is missed when any run missed it."""
    bound = spread["bound"]
    worst = "least" if bound and bound.startswith(">") else "most"
    for key in ("least", "median", "p95", "most"):
        bounded = bound is not None and key == worst
        met = not spread["missed"] if bounded else None
        yield Figure(key, spread.get(key), spread["unit"], of=of, bound=bound if bounded else None, met=met)


def measure(options: argparse.Namespace) -> Measured:
    """Every story with that many seeds."""
    seeds = 2 if options.quick else options.seeds
    report = report_of("model", "all", "--seeds", str(seeds), "--json", within_s=_WITHIN_S)
    notes = [
        f"{name}: {what}: known to miss its bound: {spread['gap']}"
        for name, story in report["stories"].items()
        for what, spread in story["figures"].items()
        if spread.get("gap")
    ]
    return Measured(figures_of(report), notes=notes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="of each story (default %(default)s)")
    sys.exit(run("model", "What do node engines do over many random seeds?", parser, measure))
