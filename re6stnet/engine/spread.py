"""Spread the network parameters from neighbour to neighbour: whom to ask or tell, and when.  Pure.

    newer parameters    each neighbour that is not known to have them is told, AT_ONCE at one time
    a new neighbour     the versions are compared
    no answer           again, ever more rarely, as long as there is a tunnel

Each exchange (:mod:`re6st_core.spread_wire`) ends with both ends at the higher version.  A neighbour that
claims a version that it does not show is asked ever more rarely.
"""

import random
from collections.abc import Collection
from dataclasses import dataclass

from re6st_core.prefix import Prefix

AT_ONCE = 4
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0
COMPARE_S = 5.0
"""How long the end with the greater prefix leaves the comparison on a new tunnel to the other."""


@dataclass(slots=True)
class _Neighbour:
    version: int = 0
    """The highest that it is known to have."""
    due: float | None = None
    failures: int = 0
    under_way: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """To be done: tell this neighbour our version, or the ``whole`` parameters, and hear what it has."""

    peer: Prefix
    whole: bool


class Spread:
    """Of one node; ``version``: of the parameters it follows."""

    def __init__(self, own: Prefix, version: int, rng: random.Random) -> None:
        self._own = own
        self._version = version
        self._rng = rng
        self._neighbours: dict[Prefix, _Neighbour] = {}

    def neighbours(self, present: Collection[Prefix], *, now: float) -> None:
        """Who is a neighbour now; new ones are compared with."""
        for gone in self._neighbours.keys() - present:
            del self._neighbours[gone]
        for new in set(present) - self._neighbours.keys():
            delay_s = self._rng.uniform(0.0, 0.5) + (0.0 if self._own < new else COMPARE_S)
            self._neighbours[new] = _Neighbour(due=now + delay_s)

    def newer(self, version: int, *, now: float) -> None:
        """We follow newer parameters: tell those who may not have them."""
        self._version = version
        for neighbour in self._neighbours.values():
            if neighbour.version < version:
                neighbour.due, neighbour.failures = now, 0
            elif neighbour.version == version:
                neighbour.due = None

    def heard(self, peer: Prefix, version: int, *, now: float) -> None:
        """A neighbour has told its version."""
        neighbour = self._neighbours.get(peer)
        if neighbour is None:
            return
        neighbour.version = max(neighbour.version, version)
        if neighbour.under_way:
            return  # its outcome says more
        if version == self._version:
            neighbour.due = None
        elif neighbour.due is None:
            neighbour.due = now

    def done(self, peer: Prefix, version: int, *, whole: bool, now: float) -> None:
        """An exchange is over: the neighbour has this version, and we had time to take what it gave."""
        neighbour = self._neighbours.get(peer)
        if neighbour is None:
            return
        neighbour.under_way = False
        neighbour.version = version
        if version == self._version:
            neighbour.due, neighbour.failures = None, 0
        elif version < self._version and not whole:
            neighbour.due = now  # now we know that it is behind
        else:
            self._again(neighbour, now)  # it claims what it does not show, or takes nothing

    def failed(self, peer: Prefix, *, now: float) -> None:
        """An exchange did not come about."""
        neighbour = self._neighbours.get(peer)
        if neighbour is not None:
            neighbour.under_way = False
            self._again(neighbour, now)

    def _again(self, neighbour: _Neighbour, now: float) -> None:
        delay_s = min(FIRST_RETRY_S * 2.0**neighbour.failures, LAST_RETRY_S)
        neighbour.failures = min(neighbour.failures + 1, 16)
        neighbour.due = now + delay_s * self._rng.uniform(0.75, 1.25)

    def exchanges(self, *, now: float) -> list[Exchange]:
        """What to begin now, in random order; each must end in ``done`` or ``failed``."""
        room = AT_ONCE - sum(n.under_way for n in self._neighbours.values())
        waiting = ((p, n.due) for p, n in self._neighbours.items() if not n.under_way)
        due = [peer for peer, at in waiting if at is not None and at <= now]
        self._rng.shuffle(due)
        begun = []
        for peer in due[: max(room, 0)]:
            neighbour = self._neighbours[peer]
            neighbour.under_way, neighbour.due = True, None
            begun.append(Exchange(peer, whole=0 < neighbour.version < self._version))
        return begun

    def next_timer(self) -> float | None:
        """When :meth:`exchanges` may have more to begin; None: not before something happens."""
        times = [n.due for n in self._neighbours.values() if not n.under_way and n.due is not None]
        return min(times, default=None)
