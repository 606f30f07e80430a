"""How long do a lab's machines, and a whole mesh on them, take to appear and to be removed?

    python -m benchmarks.lab_build [--rounds N] [--nodes N] [--quick] [--json]      (root)

Labs of several shapes are built and removed in turn.  Then the thirty nodes of planetlab_30.toml, or the
first of them, join a registry and run; they are removed with all of their processes at work.
"""

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.result import Figure, Measured, figure, run
from netns_lab.cleanup import processes_inside
from netns_lab.lab import Lab
from netns_lab.mesh import Mesh
from netns_lab.topology import TOPOLOGIES, Topology, load_topology, parse_topology

UP_S, REMOVED_S = 60, 5
_BUSY = 6  # processes of a node that has tunnels: itself, babeld, OpenVPN, one for each WireGuard device
_BUSY_WITHIN_S = 120
SHAPES: dict[str, dict[str, object]] = {
    "30 nodes": {"count": 30},
    "60 nodes": {"count": 60},
    "60 nodes, IPv4 and IPv6": {"count": 60, "ip": ["ipv4", "ipv6"]},
    "30 nodes, each behind a NAT": {"count": 30, "nat": "port_restricted"},
    "30 nodes, each behind a firewall": {"count": 30, "blocked": ["udp"]},
}


def shape(keys: dict[str, object]) -> Topology:
    """Sites that are all alike."""
    document = {"site": [{"name": "n", **keys}], "delays": {"all_ms": 20}}
    return parse_topology(document, name="lab-build", source="lab-build")


def built_and_removed_s(topology: Topology) -> tuple[float, float]:
    """How long an empty lab took to appear and to go."""
    began = time.monotonic()
    with Lab(topology):
        built = time.monotonic()
    return built - began, time.monotonic() - built


class Clock:
    """A stop watch that runs from the start."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def lap(self) -> float:
        """Seconds since it was asked before."""
        before, self._last = self._last, time.monotonic()
        return self._last - before


@contextmanager
def removal(clock: Clock, into: list[float]) -> Iterator[None]:
    """Enters what it took to leave everything that was entered behind it."""
    yield
    into.append(clock.lap())


async def at_work(lab: Lab, least: int) -> int:
    """The number of processes of a lab, once they are so many or the time is over."""
    inodes = {os.stat(each.path).st_ino for each in lab.machines.values()}
    deadline = time.monotonic() + _BUSY_WITHIN_S
    while True:
        count = len(list(processes_inside(inodes)))
        if count >= least or time.monotonic() > deadline:
            return count
        await asyncio.sleep(0.2)


async def mesh(nodes: int) -> list[Figure]:
    """A registry and so many nodes; up: all daemons have started."""
    topology = load_topology(TOPOLOGIES / "planetlab_30.toml")
    of = f"{nodes} real nodes"
    clock = Clock()
    removed: list[float] = []
    with (
        removal(clock, removed),
        Lab(topology) as lab,
        Mesh(lab, registry="registry", client_count=3) as whole,
    ):
        whole.nodes = whole.nodes[:nodes]
        await whole.form(lambda _: None)
        up = clock.lap()
        processes = await at_work(lab, _BUSY * nodes)
        clock.lap()
    return [
        figure("up", up, "s", of=of, at_most=UP_S),
        figure("removed", removed[0], "s", of=of, at_most=REMOVED_S),
        figure("processes", processes, "", of=of),
    ]


def measure(options: argparse.Namespace) -> Measured:
    """Every shape, then the mesh."""
    figures = []
    rounds = 1 if options.quick else options.rounds
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in SHAPES}
    for _ in range(rounds):
        for name, keys in SHAPES.items():
            few = {**keys, "count": 3} if options.quick else keys
            times[name].append(built_and_removed_s(shape(few)))
    for name, pairs in times.items():
        built, removed = (statistics.median(each) for each in zip(*pairs, strict=True))
        figures.append(figure("built", built, "s", of=name))
        figures.append(figure("removed", removed, "s", of=name, at_most=REMOVED_S))
    figures += asyncio.run(mesh(3 if options.quick else options.nodes))
    return Measured(figures, notes=[f"Medians of {rounds} for the empty labs; the mesh once."])


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.lab_build", description="Building of labs.")
    options.add_argument("--rounds", type=int, default=5, help="labs of each shape (default: 5)")
    options.add_argument("--nodes", type=int, default=30, help="nodes of the mesh (default, and at most: 30)")
    return options


if __name__ == "__main__":
    sys.exit(run("lab_build", "How long do labs take to appear and to be removed?", parser(), measure))
