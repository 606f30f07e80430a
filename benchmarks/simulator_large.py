"""How long does simulating ten thousand nodes take?  A script of its own because it takes minutes."""

import argparse
import sys

from benchmarks.result import Measured, run
from benchmarks.simulator import Case, commands, figures_of, simulate

_RULE = "--rule ours --tunnels 10 --seed 1"
CASE = Case(
    "ours, 10000 nodes made up, 10 rounds",
    f"--synthetic 10000 {_RULE} --rounds 10",
    900,
    {"mean_hops": 4.0, "components": 1.0},
)
QUICK = Case("ours, 1000 nodes made up, 2 rounds", f"--synthetic 1000 {_RULE} --rounds 2", 60)


def measure(options: argparse.Namespace) -> Measured:
    """One case."""
    case = QUICK if options.quick else CASE
    return Measured(figures_of(case, simulate(case)), notes=commands(case))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulator_large", description=__doc__)
    sys.exit(run("simulator_large", "How long does simulating 10,000 nodes take?", parser, measure))
