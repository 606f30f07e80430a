"""The underlay of a simulation, its truth: RTT between any two nodes, from a matrix or from places on Earth.

The sums are in C (``_native/underlay.c``); ``paths_model.py`` has the same in plain Python.  RTT is in whole
microseconds, so that every result is exact.
"""

import threading
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from netns_lab._native._paths import ffi, lib
from netns_lab.simulate.threads import in_parallel, shares

DETOURS = 4096
"""Length of the table from which a pair of nodes draws its detour."""
RELAYS_AT_ONCE = 250
"""For so many relays C works without looking up: some tenths of a second with 10,000 nodes."""


@dataclass(frozen=True, slots=True)
class Places:
    """Nodes on a sphere: ``RTT = access + access + angle * radian_us * detour of the pair``."""

    places: "array[float]"
    """Three coordinates a node, a unit vector."""
    access_us: "array[float]"
    radian_us: float
    detours: "array[float]"
    """``DETOURS`` factors; the hash of a pair draws one."""
    seed: int


class Underlay:
    """What really is; nodes are told of it only through :class:`netns_lab.simulate.senses.Senses`."""

    def __init__(self, nodes: int, source: "array[int] | Places") -> None:
        """``source``: ``nodes * nodes`` microseconds, symmetric, row by row; or places."""
        self.nodes = nodes
        self._struct = ffi.new("paths_underlay *", {"nodes": nodes})
        self._kept: list[Any] = []
        if isinstance(source, Places):
            assert len(source.detours) == DETOURS
            self._struct.places = self._keep("double[]", source.places)
            self._struct.access_us = self._keep("double[]", source.access_us)
            self._struct.detours = self._keep("double[]", source.detours)
            self._struct.radian_us, self._struct.seed = source.radian_us, source.seed
        else:
            assert len(source) == nodes * nodes
            self._struct.matrix_us = self._keep("int32_t[]", source)

    def _keep(self, kind: str, values: "array[Any]") -> Any:
        pointer = ffi.from_buffer(kind, values)
        self._kept.append(pointer)  # it keeps the array alive, the struct does not
        return pointer

    def row_us(self, node: int) -> "array[int]":
        """Direct RTT from one node to each."""
        row = _zeros(self.nodes)
        lib.paths_direct(self._struct, node, ffi.from_buffer("int32_t[]", row))
        return row

    def pairs_us(self, a: "array[int]", b: "array[int]") -> "array[int]":
        """Direct RTT of each pair ``a[k], b[k]``."""
        found = _zeros(len(a))
        buffers = (ffi.from_buffer("int32_t[]", values) for values in (a, b))
        lib.paths_pairs(self._struct, *buffers, len(a), ffi.from_buffer("int32_t[]", found))
        return found

    def best_us(self, sources: Sequence[int], relay_us: int) -> "array[int]":
        """The best RTT that relaying by any nodes could give, from each source to each node, row by row.

        Each node that forwards adds ``relay_us``.
        """

        parts = in_parallel(partial(self._best_of, relay_us), shares(sources))
        return sum(parts[1:], parts[0]) if parts else array("i")

    def _best_of(self, relay_us: int, sources: Sequence[int], stop: threading.Event) -> "array[int]":
        best, closer = array("i"), bytearray(b"\1") * (len(sources) * self.nodes)
        for row, source in enumerate(sources):
            best += self.row_us(source)
            closer[row * self.nodes + source] = 0
        buffers = ffi.from_buffer("int32_t[]", best), ffi.from_buffer("uint8_t[]", closer)
        changed = True
        while changed:
            changed = False
            for first in range(0, self.nodes, RELAYS_AT_ONCE):
                end = min(first + RELAYS_AT_ONCE, self.nodes)
                found = lib.paths_relax(self._struct, first, end, len(sources), relay_us, *buffers)
                if found < 0:
                    raise MemoryError
                changed |= bool(found)
                if stop.is_set():
                    return best
        return best


def _zeros(count: int) -> "array[int]":
    return array("i", bytes(4 * count))
