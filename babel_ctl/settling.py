"""After babeld has started: wait until it has converged, then leave its routes in the kernel and no others.

    settle: converge -> audit (compare kernel and babeld, repair) -> delete the leftovers

Convergence: every destination that has a leftover has a live route again, or neither the installed routes nor
the usable neighbours have changed for ``QUIET_HELLOS`` hello intervals.  A neighbour is usable after two
hellos and then answers our request for its routes at once, so a longer silence means that what is still
missing is gone.  As long as there is no route at all, silence means nothing: we have not heard a neighbour
yet, and without the leftovers nothing could be reached.  It ends after ``MAX_HELLOS`` intervals at last; a
leftover that stays too long hides no live route, as those are better.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

from babel_ctl.client import BabelClient
from babel_ctl.errors import RouterError
from babel_ctl.kernel import Destination, Differences, KernelRoute, KernelRoutes, compare, expected

log = logging.getLogger(__name__)

QUIET_HELLOS: Final = 4
MAX_HELLOS: Final = 30
INFINITY: Final = 65535
RETRY_S: Final = 5.0
"""After an error of the kernel (no memory, no descriptors): leftovers must not stay for ever."""


class Settler:
    """Sets the kernel's routes right; one call at a time."""

    def __init__(
        self,
        kernel: KernelRoutes,
        client: BabelClient,
        *,
        hello_interval_s: float,
        on_repair: Callable[[str], None],
    ) -> None:
        self._kernel = kernel
        self._client = client
        self._hello_s = hello_interval_s
        self._on_repair = on_repair
        self._changed = asyncio.Event()
        client.add_listener(self._changed.set)

    async def settle(self, leftovers: list[KernelRoute]) -> None:
        """Return when the kernel has babeld's routes and nothing else; tried until it works."""
        while True:
            try:
                if leftovers:
                    await self._converge({route.destination for route in leftovers})
                await self.audit()
                await self._kernel.delete(leftovers)
            except RouterError as exc:
                log.error("kernel routes: %s", exc)
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _converge(self, waiting_for: set[Destination]) -> None:
        """Wait until the live routes cover these destinations, or nothing has changed for long enough."""
        loop = asyncio.get_running_loop()
        end = loop.time() + MAX_HELLOS * self._hello_s
        quiet_end = end
        before: object = None
        while True:
            self._changed.clear()
            installed = expected(self._client.routes())
            if waiting_for <= installed.keys():
                live = {route.destination for route in await self._kernel.routes() if not route.is_leftover}
                if waiting_for <= live:
                    return
            usable = {neighbour.id for neighbour in self._client.neighbours() if neighbour.cost < INFINITY}
            if (installed, usable) != before:
                before = installed, usable
                quiet_end = loop.time() + QUIET_HELLOS * self._hello_s if installed else end
            try:
                async with asyncio.timeout_at(min(end, quiet_end)):
                    await self._changed.wait()
            except TimeoutError:
                return

    async def audit(self) -> Differences:
        """Compare the kernel with babeld's table and repair what differs; return what was repaired.

        What babeld is changing right now also differs for a moment: only what is seen twice counts.
        """
        found = await self._differences()
        if found:
            await asyncio.sleep(min(1.0, self._hello_s))
            found &= await self._differences()
        if found and self._client.state.connected:
            await self._kernel.repair(found)
            self._on_repair(f"{len(found.missing)} routes added to the kernel, {len(found.surplus)} deleted")
        return found

    async def _differences(self) -> Differences:
        kernel = await self._kernel.routes()
        return compare(kernel, expected(self._client.routes()), dict(socket.if_nameindex()))
