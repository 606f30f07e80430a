"""The routes of an overlay: which tunnel carries what, and how long the paths are.

The work is done in C (``_native/paths.c``); ``paths_model.py`` is the same in plain Python.
"""

import math
import threading
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import add
from typing import Any

from netns_lab._native._paths import ffi, lib
from netns_lab.simulate.overlay import Arcs
from netns_lab.simulate.threads import WORKERS, in_parallel, shares

INFINITE = 65535
"""RFC 8966 §3.2.6: a route of this metric is none."""
PARTS = 8 * WORKERS
"""More than there are processors, so that Ctrl-C does not wait for long."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Paths from every node to some destinations, row by row; -1 where there is no route."""

    rtt_us: "array[int]"
    hops: "array[int]"


class Metrics:
    """The metric of every node to every node, as Babel's tables have it; ``INFINITE``: no route."""

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes
        self._table = array("H", bytes(2 * nodes * nodes))
        self.buffer = ffi.from_buffer("uint16_t[]", self._table)

    def rows(self, of: "array[int]", plus: "array[int]", destinations: "array[int]") -> "array[int]":
        """One row for each of some nodes: its metric to each of the destinations, ``plus`` a cost for each
        row."""
        found = array("i", bytes(4 * len(of) * len(destinations)))
        lib.paths_metrics(
            self.buffer,
            self.nodes,
            ffi.from_buffer("int32_t[]", of),
            ffi.from_buffer("int32_t[]", plus),
            len(of),
            ffi.from_buffer("int32_t[]", destinations),
            len(destinations),
            ffi.from_buffer("int32_t[]", found),
        )
        return found


def least(rows: "Sequence[array[int]]", width: int) -> "array[int]":
    """Of rows of metrics the best in each column; ``INFINITE`` without rows."""
    found, table = array("i", bytes(4 * width)), array("i", b"".join(map(bytes, rows)))
    buffers = (ffi.from_buffer("int32_t[]", values) for values in (table, found))
    lib.paths_least(next(buffers), len(rows), width, next(buffers))
    return found


def find_routes(
    arcs: Arcs,
    *,
    cost: "array[int]",
    rtt_us: "array[int]",
    sampled: Sequence[int],
    relay_us: int,
    metrics: "Metrics | None" = None,
) -> tuple["array[int]", Paths]:
    """All routes; returns for each arc how many destinations its owner reaches through it, and paths.

    ``cost``: what the arc's owner adds to the metric, at least 1.  ``rtt_us``: the truth.  ``sampled``: the
    destinations whose paths are wanted; the count for each arc is over all destinations.  ``metrics``:
    filled.
    """
    known = set(sampled)
    others = [node for node in range(arcs.nodes) if node not in known]
    columns = {"first": arcs.first, "to": arcs.to, "back": arcs.back, "cost": cost, "rtt_us": rtt_us}
    buffers = {name: ffi.from_buffer("int32_t[]", values) for name, values in columns.items()}
    mesh = ffi.new("paths_mesh *", {"nodes": arcs.nodes, **buffers})
    work = [(part, True) for part in shares(sampled)]
    work += [(part, False) for part in shares(others, PARTS)]

    def grow(job: tuple[Sequence[int], bool], _stop: threading.Event) -> tuple["array[int]", Paths]:
        destinations, keep = job
        row = arcs.nodes if keep else 0
        return _grow(mesh, len(arcs.to), destinations, row=row, relay_us=relay_us, metrics=metrics)

    carried = array("i", bytes(4 * len(arcs.to)))
    done = in_parallel(grow, work)
    paths, hops = array("q"), array("h")
    for part_carried, part in done:
        carried = array("i", map(add, carried, part_carried))
        paths += part.rtt_us
        hops += part.hops
    return carried, Paths(paths, hops)


def _grow(
    mesh: Any,
    arcs: int,
    destinations: Sequence[int],
    *,
    row: int,
    relay_us: int,
    metrics: "Metrics | None",
) -> tuple["array[int]", Paths]:
    """Routes to some destinations; ``row``: how many paths to each are wanted, all or none."""
    carried = array("i", bytes(4 * arcs))
    paths, hops = (
        array("q", bytes(8 * row * len(destinations))),
        array("h", bytes(2 * row * len(destinations))),
    )
    failed = lib.paths_routes(
        mesh,
        list(destinations),
        len(destinations),
        relay_us,
        ffi.from_buffer("int32_t[]", carried),
        ffi.from_buffer("int64_t[]", paths) if row else ffi.NULL,
        ffi.from_buffer("int16_t[]", hops) if row else ffi.NULL,
        ffi.NULL if metrics is None else metrics.buffer,
    )
    if failed:
        raise MemoryError
    return carried, Paths(paths, hops)


def quantile(values: "array[float]", share: float) -> float:
    """The value below which this share of the values lies (nearest rank); reorders them.  NaN if none."""
    if not values:
        return float("nan")
    rank = max(0, math.ceil(share * len(values)) - 1)
    return float(lib.paths_quantile(ffi.from_buffer("double[]", values), len(values), rank))
