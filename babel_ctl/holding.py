"""A second route to each destination, worse than babeld's: the last way that worked, for a moment longer.

    babeld:  D via B, metric 1024      --- taken away: no feasible way, asks for a newer sequence number --->
    held:    D via B, metric 100000    --- carries packets meanwhile, for HOLD_S at most ------------------->

When a link is given up that still carries packets, every node that has no feasible route left (RFC 8966
section 3.5.1) drops what it forwards until a newer sequence number has come to it, some tenths of a second.
The old way still leads there.  If it does not, the packets are lost as they were without it; the old ways
together are those of a moment when there was no loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address, IPv6Network
from typing import Final

from babel_ctl.errors import RouterError
from babel_ctl.kernel import KernelRoutes, NextHop
from babel_ctl.messages import Route

log = logging.getLogger(__name__)

HOLD_S: Final = 2.0
INFINITY: Final = 65535


class RouteHolder:
    """Follows babeld's routes, by :meth:`follow`; to be used by one event loop."""

    def __init__(
        self, kernel: KernelRoutes, *, hold_s: float = HOLD_S, settled: Callable[[], bool] = lambda: True
    ) -> None:
        """``settled``: babeld is there and has converged; before, it takes nothing away by silence."""
        self._kernel = kernel
        self._hold_s = hold_s
        self._settled = settled
        self._held: dict[IPv6Network, NextHop] = {}
        self._ends: dict[IPv6Network, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._held)

    def follow(self, changed: Iterable[Route], removed: Iterable[Route]) -> None:
        """Take in what babeld tells, merged per route."""
        lost: set[IPv6Network] = set()
        new: dict[IPv6Network, NextHop] = {}
        for gone, routes in ((True, removed), (False, changed)):
            for route in routes:
                if not isinstance(route.prefix, IPv6Network) or not isinstance(route.via, IPv6Address):
                    continue
                hop = route.via, route.interface
                if not gone and route.installed and route.metric < INFINITY:
                    new[route.prefix] = hop
                elif self._held.get(route.prefix) == hop:
                    lost.add(route.prefix)
        for prefix in new:
            if (end := self._ends.pop(prefix, None)) is not None:
                end.cancel()
        self._hold({prefix: hop for prefix, hop in new.items() if self._held.get(prefix) != hop})
        for prefix in lost - new.keys() - self._ends.keys():
            self._let_go_later(prefix)

    def hold_again(self) -> None:
        """Put everything back: somebody has removed the leftovers of an earlier babeld."""
        self._hold(dict(self._held))

    def _hold(self, routes: dict[IPv6Network, NextHop]) -> None:
        self._held |= routes
        try:
            self._kernel.hold(routes)
        except RouterError as exc:  # without it all works, with a gap now and then
            log.warning("%s", exc)

    def _let_go_later(self, prefix: IPv6Network) -> None:
        loop = asyncio.get_running_loop()
        self._ends[prefix] = loop.call_later(self._hold_s, self._let_go, prefix)

    def _let_go(self, prefix: IPv6Network) -> None:
        if not self._settled():
            self._let_go_later(prefix)
            return
        del self._ends[prefix]
        hop = self._held.pop(prefix)
        try:
            self._kernel.let_go(prefix, hop)
        except RouterError as exc:
            log.warning("%s", exc)

    def close(self) -> None:
        """Forget everything; the kernel's routes are the caller's business."""
        for end in self._ends.values():
            end.cancel()
        self._ends.clear()
        self._held.clear()
