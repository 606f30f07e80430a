"""Babel's table as the engine needs it: who is reachable, and what hangs on each tunnel.  Pure."""

from array import array
from collections import deque
from collections.abc import Iterable, Set
from dataclasses import dataclass

from re6st_core.prefix import Prefix
from re6stnet.engine.gains import INFINITE
from re6stnet.engine.messages import RouteChange

MAX_TOLD = 8
"""A metric changes at most with each hello, and is told with each update, every fourth."""


@dataclass(frozen=True, slots=True)
class _Route:
    metric: int
    refmetric: int


class RouteTable:
    """Routes by destination and tunnel, kept from changes; sizes follow babeld's own table."""

    def __init__(self) -> None:
        self._routes: dict[Prefix, dict[str, _Route]] = {}
        self._installed: dict[Prefix, str] = {}
        self._carried: dict[str, set[Prefix]] = {}
        self._told: dict[Prefix, deque[int]] = {}
        """The newest metrics of the installed route, which our neighbours may still go by."""

    def apply(self, changes: Iterable[RouteChange]) -> set[Prefix]:
        """Take in changes; return the destinations that became reachable or unreachable."""
        turned: set[Prefix] = set()
        for change in changes:
            before = change.destination in self._installed
            self._apply(change)
            if before != (change.destination in self._installed):
                turned ^= {change.destination}
        return turned

    def _apply(self, change: RouteChange) -> None:
        destination, tunnel = change.destination, change.tunnel
        routes = self._routes.setdefault(destination, {})
        if change.metric is None:
            routes.pop(tunnel, None)
        else:
            routes[tunnel] = _Route(change.metric, change.refmetric)
        if change.installed and change.metric is not None:
            self._uninstall(destination)
            self._installed[destination] = tunnel
            self._carried.setdefault(tunnel, set()).add(destination)
            self._note_told(destination, routes[tunnel])
        elif self._installed.get(destination) == tunnel:
            self._uninstall(destination)
        if not routes:
            del self._routes[destination]
            self._told.pop(destination, None)

    def _uninstall(self, destination: Prefix) -> None:
        tunnel = self._installed.pop(destination, None)
        if tunnel is not None:
            self._carried[tunnel].discard(destination)
            if not self._carried[tunnel]:
                del self._carried[tunnel]

    def _note_told(self, destination: Prefix, route: _Route) -> None:
        told = self._told.setdefault(destination, deque(maxlen=MAX_TOLD))
        # Babel installs only what is feasible (RFC 8966 §3.5.1): what is worse than all that we told has a
        # newer sequence number, and what we told is forgotten.
        if told and route.refmetric >= min(told):
            told.clear()
        if not told or told[-1] != route.metric:
            told.append(route.metric)

    @property
    def reachable(self) -> Set[Prefix]:
        """Destinations with an installed route."""
        return self._installed.keys()

    def is_reachable(self, destination: Prefix) -> bool:
        """Whether a route to this destination is installed."""
        return destination in self._installed

    def carried(self, tunnel: str) -> Set[Prefix]:
        """Destinations that go through this tunnel now."""
        return self._carried.get(tunnel, set())

    def metric(self, destination: Prefix, *, without: str | None = None) -> int:
        """The best metric of a destination (``INFINITE``: no route), not through the tunnel ``without``."""
        routes = self._routes.get(destination, {})
        return min((route.metric for tunnel, route in routes.items() if tunnel != without), default=INFINITE)

    def metrics_via(self, tunnel: str, destinations: Iterable[Prefix]) -> "array[int]":
        """The metric of each destination through one tunnel; ``INFINITE``: its peer announces none."""
        nothing: dict[str, _Route] = {}
        found = (self._routes.get(d, nothing).get(tunnel) for d in destinations)
        return array("i", (INFINITE if route is None else route.metric for route in found))

    def expendable(self, tunnel: str) -> bool:
        """Whether every destination that goes through this tunnel has a way that does not lead back here."""
        return not any(True for _ in self.lost_without(tunnel))

    def lost_without(self, tunnel: str) -> Iterable[Prefix]:
        """Destinations that go through this tunnel and would have no other way.

        Neighbours announce to us also what they reach through us (there is no split horizon).  That costs
        them what we told them, and their link to us.  What costs less leads elsewhere; half of the link is
        left for delays that change.  If it is not feasible, Babel asks for a newer sequence number before it
        takes it.
        """
        for destination in self.carried(tunnel):
            others = (r for t, r in self._routes[destination].items() if t != tunnel)
            told = min(self._told[destination])
            if not any(r.refmetric < told + (r.metric - r.refmetric) // 2 for r in others):
                yield destination
