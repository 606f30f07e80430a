"""Bare cable, hand-made tunnels, ours and other mesh programs, on equal chains of machines, in one run.

Each system has a chain of four machines of its own (see ``chain.py``); all are up at the same time, and each
round visits every one of them over 1, 2 and 3 hops, in drawn order.
"""

import argparse
import random
import sys
import time

from benchmarks.data_plane.chain import LENGTH
from benchmarks.data_plane.comparison import SYSTEMS, Comparison, say
from benchmarks.result import Measured, package_versions, run
from netns_lab import cleanup, programs
from re6st_core.errors import RouterError

_PACKAGES = {
    "iperf3": "iperf3",
    "ping": "iputils-ping",
    "wg": "wireguard-tools",
    "tincd": "tinc",
    "nebula": "nebula",
    "yggdrasil": "yggdrasil",
}
_VERSIONS = "babeld", "wireguard-go", "openvpn", "tinc", "nebula", "yggdrasil", "iperf3"


def parser() -> argparse.ArgumentParser:
    """The options, but those of all benchmarks."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.data_plane",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--rounds", type=int, default=9, help="visits of each (default %(default)s)")
    made.add_argument("--seconds", type=int, default=2, help="of TCP per visit (default %(default)s)")
    made.add_argument("--minutes", type=float, default=14, help="begin no round that would end later")
    made.add_argument("--system", choices=SYSTEMS, action="append", help="only this one; can be repeated")
    made.add_argument("--hops", type=int, choices=range(1, LENGTH), action="append", help="the same")
    made.add_argument("--seed", type=int, default=1, help="of the order")
    return made


def measure(options: argparse.Namespace) -> Measured:
    """Build, sample, remove."""
    programs.require(programs.LAB_PACKAGES | programs.MESH_PACKAGES | _PACKAGES)
    rounds, seconds = (2, 1) if options.quick else (options.rounds, options.seconds)
    rng, began = random.Random(options.seed), time.monotonic()
    comparison = Comparison(say)
    cleanup.clean_dead()
    record = cleanup.register("data_plane", None)
    try:
        hops = options.hops or range(1, LENGTH)
        comparison.start(record, options.system or list(SYSTEMS), hops)
        if not comparison.targets:
            raise RouterError(f"nothing to measure: {'; '.join(comparison.failures.values())}")
        sampled = time.monotonic()
        for number in range(1, rounds + 1):
            comparison.sample(rng, seconds)
            per_round = (time.monotonic() - sampled) / number
            say(f"round {number} of {rounds} done, {(rounds - number) * per_round:.0f} s left")
            if time.monotonic() - began + per_round > options.minutes * 60:
                break
        memory = comparison.memory_notes()
    finally:
        cleanup.clean(record, keep_directory=bool(comparison.failures))
    failures = [f"FAILED: {what}: {why}" for what, why in comparison.failures.items()]
    notes = [
        f"Medians of {len(comparison.rounds)} rounds, {seconds} s of TCP each; 95 % bootstrap intervals.",
        *memory,
        *failures,
    ]
    return Measured(comparison.figures(rng), package_versions(*_VERSIONS), notes)


if __name__ == "__main__":
    sys.exit(run("data_plane", "What do tunnels cost over 1, 2 and 3 hops?", parser(), measure))
