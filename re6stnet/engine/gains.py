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


def work_out(
    weight: "array[float]",
    via: "Sequence[array[int]]",
    offered: "Sequence[array[int]]",
    cost: Sequence[int],
) -> Gains:
    """``via``: for each tunnel our metric of each destination through it; ``offered``: for each candidate the
    metric of its own route to each; ``cost``: of a tunnel to each candidate; ``weight``: of each destination.
    """
    rows, width = (via, offered), len(weight)
    if any(len(row) != width for part in rows for row in part) or len(cost) != len(offered):
        raise ValueError("every row has one metric for each destination")
    tables = [array("i", b"".join(map(bytes, part))) for part in rows]
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
