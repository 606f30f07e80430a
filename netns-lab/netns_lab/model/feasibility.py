"""Feasibility distances: what keeps a distance vector free of loops (RFC 8966 section 3.5.1).

A node remembers the best (seqno, metric) that it ever told others of a destination.  A neighbour's route is
feasible if it is newer, or as new and strictly better: then it can't lead back here.
"""

from collections.abc import Container, Iterator

SEQNOS = 1 << 16
FORGET_S = 200.0
"""How long the distance of a destination without route is kept, as babeld does it."""


def newer(one: int, other: int) -> bool:
    """Whether seqno ``one`` is newer than ``other``, modulo 2^16 (section 3.2.1)."""
    return 0 < (one - other) % SEQNOS < SEQNOS // 2


class Distances:
    """Of one node, by destination."""

    def __init__(self) -> None:
        self._best: dict[int, tuple[int, int]] = {}
        self._unused: dict[int, float] = {}

    def __iter__(self) -> Iterator[int]:
        return iter(self._best)

    def is_feasible(self, destination: int, seqno: int, metric: int) -> bool:
        """Whether a neighbour's route, with the metric it tells, can't be a loop."""
        best = self._best.get(destination)
        if best is None or newer(seqno, best[0]):
            return True
        return seqno == best[0] and metric < best[1]

    def told(self, destination: int, seqno: int, metric: int) -> None:
        """We tell others of this route."""
        if self.is_feasible(destination, seqno, metric):
            self._best[destination] = seqno, metric

    def seqno(self, destination: int) -> int:
        """The newest that we told; 0 if none."""
        return self._best.get(destination, (0, 0))[0]

    def wanted(self, destination: int) -> int:
        """The seqno to ask the destination for, when nothing is feasible."""
        return (self.seqno(destination) + 1) % SEQNOS if destination in self._best else 0

    def forget_old(self, used: Container[int], now: float) -> None:
        """Drop those that have not been among ``used`` for long; to be called now and then."""
        for destination in list(self._best):
            if destination in used:
                self._unused.pop(destination, None)
            elif now - self._unused.setdefault(destination, now) >= FORGET_S:
                del self._best[destination], self._unused[destination]
