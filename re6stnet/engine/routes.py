"""Babel's table as the engine needs it: who is reachable, and what hangs on each tunnel.  Pure."""

from array import array
from collections.abc import Iterable, Set

from re6st_core.prefix import Prefix
from re6stnet.engine.gains import INFINITE
from re6stnet.engine.messages import RouteChange


class RouteTable:
    """Routes by destination and tunnel, kept from changes; sizes follow babeld's own table."""

    def __init__(self) -> None:
        self._metric: dict[Prefix, dict[str, int]] = {}
        self._installed: dict[Prefix, str] = {}
        self._carried: dict[str, set[Prefix]] = {}

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
        routes = self._metric.setdefault(destination, {})
        if change.metric is None:
            routes.pop(tunnel, None)
            if not routes:
                del self._metric[destination]
        else:
            routes[tunnel] = change.metric
        if change.installed and change.metric is not None:
            self._uninstall(destination)
            self._installed[destination] = tunnel
            self._carried.setdefault(tunnel, set()).add(destination)
        elif self._installed.get(destination) == tunnel:
            self._uninstall(destination)

    def _uninstall(self, destination: Prefix) -> None:
        tunnel = self._installed.pop(destination, None)
        if tunnel is not None:
            self._carried[tunnel].discard(destination)
            if not self._carried[tunnel]:
                del self._carried[tunnel]

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
        routes = self._metric.get(destination, {})
        return min((metric for tunnel, metric in routes.items() if tunnel != without), default=INFINITE)

    def metrics_via(self, tunnel: str, destinations: Iterable[Prefix]) -> "array[int]":
        """The metric of each destination through one tunnel; ``INFINITE``: its peer announces none."""
        nothing: dict[str, int] = {}
        return array("i", (self._metric.get(d, nothing).get(tunnel, INFINITE) for d in destinations))

    def expendable(self, tunnel: str) -> bool:
        """Whether every destination that goes through this tunnel has another route."""
        return all(len(self._metric[destination]) > 1 for destination in self.carried(tunnel))
