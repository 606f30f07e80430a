"""What candidates would bring and tunnels are worth, by Babel's metrics.  Pure.

The sums are in C (``re6stnet/_native/gains.c``), the same in the daemon and in the simulator;
``gains_model.py`` is the same in plain Python.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from re6stnet._native._gains import ffi, lib

INFINITE = 65535
"""RFC 8966 §3.2.6: a route of this metric is none."""


@dataclass(frozen=True, slots=True)
class Gains:
    """Sums of metrics over the destinations, each times what the destination counts."""

    gain: "array[float]"
    """Of each candidate: by how much our metrics would fall."""
    theirs: "array[float]"
    """Of each candidate: by how much its own metrics would fall."""
    loss: "array[float]"
    """Of each tunnel: by how much our metrics would grow without it."""
    swap: "array[float]"
    """Of each candidate, for each tunnel: what is gained with the one and without the other."""
    total: float
    """All our metrics."""


def believe(
    via: "Sequence[array[int]]", offered: "Sequence[array[int]]", routes: Sequence[int]
) -> "list[array[int]]":
    """What candidates say, as far as it can be: where there is a route between two nodes (``routes``: our
    metric to each candidate), neither is farther from a destination than the other by more than that route.
    """
    if not offered:
        return []
    width = len(offered[0])
    _check(width, via, offered, routes)
    ours, table = _table(via), _table(offered)
    lib.gains_believe(
        width,
        len(via),
        ffi.from_buffer("int32_t[]", ours),
        len(offered),
        ffi.from_buffer("int32_t[]", array("i", routes)),
        ffi.from_buffer("int32_t[]", table),
    )
    return [table[k * width : (k + 1) * width] for k in range(len(offered))]


def work_out(
    weight: "array[float]",
    via: "Sequence[array[int]]",
    offered: "Sequence[array[int]]",
    cost: Sequence[int],
) -> Gains:
    """``via``: for each tunnel our metric of each destination through it; ``offered``: for each candidate the
    metric of its own route to each; ``cost``: of a tunnel to each candidate; ``weight``: of each destination.
    """
    width = len(weight)
    _check(width, via, offered, cost)
    tables = _table(via), _table(offered)
    costs = array("i", cost)
    choice = ffi.new(
        "gains_choice *",
        {
            "width": width,
            "weight": ffi.from_buffer("double[]", weight),
            "tunnels": len(via),
            "via": ffi.from_buffer("int32_t[]", tables[0]),
            "offers": len(offered),
            "offered": ffi.from_buffer("int32_t[]", tables[1]),
            "cost": ffi.from_buffer("int32_t[]", costs),
        },
    )
    sizes = len(offered), len(offered), len(via), len(offered) * len(via)
    found = [array("d", bytes(8 * size)) for size in sizes]
    total = ffi.new("double *")
    if lib.gains_work_out(choice, *(ffi.from_buffer("double[]", values) for values in found), total):
        raise MemoryError
    gain, theirs, loss, swap = found
    return Gains(gain, theirs, loss, swap, total[0])


def _check(
    width: int, via: "Sequence[array[int]]", offered: "Sequence[array[int]]", each: Sequence[int]
) -> None:
    if any(len(row) != width for part in (via, offered) for row in part) or len(each) != len(offered):
        raise ValueError("every row has one metric for each destination")


def _table(rows: "Sequence[array[int]]") -> "array[int]":
    return array("i", b"".join(map(bytes, rows)))
