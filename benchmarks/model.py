"""What do real node engines on a modelled Internet do, over many random seeds, and how fast is the model?

One ``netns-lab model all``: every story with seeds 1 to N; per story how many runs failed, and of each figure
the median, the 95th percentile and the most.
"""

import argparse
import sys

from benchmarks.lab_command import Report, report_of
from benchmarks.result import Figure, Measured, figure, run

_WITHIN_S = 1800.0


def figures_of(report: Report) -> list[Figure]:
    """The speed first, then each story: runs that failed, and its figures over all runs."""
    speed = report["simulated_minutes_per_s"]
    per_thousand = round(1000 / speed, 1) if speed else None
    figures = [
        figure("1000 simulated minutes take", per_thousand, "s"),
        figure("simulated in this run", report["simulated_minutes"], "minutes"),
    ]
    for name, story in report["stories"].items():
        runs = f"runs that failed, of {story['runs']}"
        figures.append(figure(runs, story["failed"], "", of=name, at_most=0))
        for what, spread in story["figures"].items():
            missed = spread["missed"] if spread["bound"] else None
            figures += [
                Figure(
                    f"{what}, {rank}",
                    spread.get(key),
                    spread["unit"],
                    of=name,
                    bound=spread["bound"] if key == "most" else None,
                    met=not missed if key == "most" and missed is not None else None,
                )
                for key, rank in (("median", "median"), ("p95", "95th percentile"), ("most", "most"))
            ]
    return figures


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
    parser.add_argument("--seeds", type=int, default=100, help="of each story (default %(default)s)")
    sys.exit(run("model", "What do node engines do over many random seeds?", parser, measure))
