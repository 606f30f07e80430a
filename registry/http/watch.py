"""Tell some members at once that there are newer network parameters; from those the mesh has them.

    waiting members     GET PARAMETERS_AFTER + version: at most PLACES; the others are told to come later
    on the relay        all, in random order, BATCH at a time: who is there hangs by fewer than two tunnels

No more is needed: nodes tell their neighbours.  Another process may make the parameters (``node revoke``), so
that the database is looked at twice a second, while anybody waits.
"""

import asyncio
import logging
import random

from re6st_core.prefix import Prefix
from re6st_core.registry_wire import WAIT_S, RelayFrame
from registry.errors import StoreFailedError, StoreFullError, TooManyError
from registry.http.context import Context
from registry.http.relay import Hub
from registry.publication import Publication

_log = logging.getLogger(__name__)
PLACES = 8
"""Members that may wait at one time."""
AGAIN_S = 1200
"""When those come again for whom there is no place."""
LOOK_S = 0.5
BATCH, BATCH_EVERY_S = 32, 0.1
"""Members on the relay that are told at one time: they will ask for the parameters."""


class Watch:
    """Of one server; :meth:`run` works while it serves."""

    def __init__(self, context: Context, hub: Hub, rng: random.Random) -> None:
        self._context = context
        self._hub = hub
        self._rng = rng
        self._waiting: dict[Prefix, asyncio.Future[None]] = {}
        self._version = 0

    async def after(self, version: int, prefix: Prefix) -> Publication | None:
        """Parameters newer than those, once there are some; None: not yet.  Raises TooManyError."""
        published = await self._context.published()
        if published.parameters.version > version:
            return published
        if (previous := self._waiting.pop(prefix, None)) is not None and not previous.done():
            previous.set_result(None)  # one place for each member
        if len(self._waiting) >= PLACES:
            raise TooManyError(f"{PLACES} members wait already", AGAIN_S)
        place = self._waiting[prefix] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(WAIT_S):
                await place
        except TimeoutError:
            return None
        finally:
            if self._waiting.get(prefix) is place:
                del self._waiting[prefix]
        published = await self._context.published()
        return published if published.parameters.version > version else None

    async def run(self) -> None:
        """Look for newer parameters, until cancelled."""
        while True:
            if self._waiting or self._hub.members or not self._version:
                try:
                    now = self._context.now()
                    newest = await self._context.run(self._context.registry.newest, now)
                    version = newest.parameters.version
                except (StoreFailedError, StoreFullError) as exc:
                    _log.warning("whether there are newer parameters is not known: %s", exc)
                else:
                    if version != self._version:
                        self._version = version
                        await self._tell(version)
            await asyncio.sleep(LOOK_S)

    async def _tell(self, version: int) -> None:
        for place in self._waiting.values():
            if not place.done():
                place.set_result(None)
        members = list(self._hub.members)
        self._rng.shuffle(members)
        for number, prefix in enumerate(members):
            if number and number % BATCH == 0:
                await asyncio.sleep(BATCH_EVERY_S)
            self._hub.tell(RelayFrame(peer=prefix, version=version))
