"""Tell the neighbours of newer network parameters, and hear of theirs, over the overlay.

:mod:`re6stnet.engine.spread` decides whom to ask when; :mod:`re6stnet.adapters.parameters` verifies.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Collection

from re6st_core.errors import PeerError, WireError
from re6st_core.netparams import NetworkParameters
from re6st_core.prefix import Prefix
from re6st_core.spread_wire import MAX_TOLD, PARAMETERS_PATH, Told, decode_told_untrusted, encode_told
from re6stnet.adapters.parameters import ParametersKeeper
from re6stnet.adapters.peer_http import PeerHttp
from re6stnet.engine.spread import Exchange, Spread

log = logging.getLogger(__name__)
AT_ONCE = 8
"""Exchanges of others served at one time: each may bring a megabyte."""
LOOK_S = 1.0
"""How often to look who is a neighbour."""


class Spreader:
    """``neighbours`` tells the peers with whom there is a working tunnel."""

    def __init__(
        self,
        own: Prefix,
        keeper: ParametersKeeper,
        http: PeerHttp,
        *,
        neighbours: Callable[[], Collection[Prefix]],
        rng: random.Random,
    ) -> None:
        self._keeper = keeper
        self._http = http
        self._neighbours = neighbours
        self._spread = Spread(own, keeper.version, rng)
        self._wake = asyncio.Event()
        keeper.followers.append(self._newer)

    async def run(self) -> None:
        """Work until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as exchanges:
            while True:
                self._wake.clear()
                self._spread.neighbours(self._neighbours(), now=loop.time())
                for exchange in self._spread.exchanges(now=loop.time()):
                    exchanges.create_task(self._exchange(exchange))
                due = self._spread.next_timer()
                delay_s = LOOK_S if due is None else min(max(due - loop.time(), 0.0), LOOK_S)
                try:
                    async with asyncio.timeout(delay_s):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    async def _newer(self, parameters: NetworkParameters) -> None:
        self._spread.newer(parameters.version, now=asyncio.get_running_loop().time())
        self._wake.set()

    async def _exchange(self, exchange: Exchange) -> None:
        loop = asyncio.get_running_loop()
        peer, whole = exchange.peer, exchange.whole
        try:
            data = encode_told(
                Told(version=self._keeper.version, signed=self._keeper.signed if whole else None)
            )
            told = decode_told_untrusted(await self._http.ask(peer, PARAMETERS_PATH, data, limit=MAX_TOLD))
            await self._take(peer, told)
        except (PeerError, WireError) as exc:
            log.debug("parameters with %s: %s", peer, exc)
            self._spread.failed(peer, now=loop.time())
        else:
            self._spread.done(peer, told.version, whole=whole, now=loop.time())
        self._wake.set()

    async def serve(self, peer: str, data: bytes) -> bytes:
        """A node, of this CN, tells its version: tell ours.  Raises WireError."""
        told = decode_told_untrusted(data)
        prefix = Prefix.from_cn(peer)
        await self._take(prefix, told)
        self._spread.heard(prefix, told.version, now=asyncio.get_running_loop().time())
        self._wake.set()
        behind = told.version < self._keeper.version
        return encode_told(Told(version=self._keeper.version, signed=self._keeper.signed if behind else None))

    async def _take(self, peer: Prefix, told: Told) -> None:
        if told.signed is not None and told.version > self._keeper.version:
            await self._keeper.take(told.signed, peer)
