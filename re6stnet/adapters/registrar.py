"""The node's dealings with the registry: parameters, peers, and what it shows of our own address.

The registry may be away for as long as it likes: parameters come from the cache or a neighbour, and a failed
question is asked again by the engine.  A few nodes, as many as the registry has places for, wait there for
newer parameters and have them at once; their neighbours, and in the end all, have them from these.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from re6st_core.address import Endpoint, IPAddress, Protocol, decode_endpoints_untrusted, format_endpoints
from re6st_core.errors import RegistryError, WireError
from re6st_core.netparams import NetworkParameters, SignedParameters
from re6stnet.adapters.parameters import ParametersKeeper
from re6stnet.adapters.store import SqliteStore
from re6stnet.engine.messages import EndpointsChanged, PeerSeen, PeersLearned
from re6stnet.ports import Post
from registry.client import RegistryClient
from registry.errors import RefusedError

log = logging.getLogger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0
REFRESH_S = 3600.0
"""How often a node asks for which the registry has no place."""
SOON_S = 0.5
"""Within that time the nodes on the relay ask for parameters of which the registry has told."""
FORBIDDEN, TOO_MANY = 403, 429
_ENDPOINTS = "endpoints"
_T = TypeVar("_T")


class Registrar:
    """Of one node.

    ``announced``: addresses that the operator gave; ``own_addresses``: underlay addresses of this host;
    ``protocols``: those by which the node is reached at its port.
    """

    def __init__(
        self,
        client: RegistryClient,
        keeper: ParametersKeeper,
        *,
        port: int,
        announced: tuple[IPAddress, ...],
        country: str | None,
        protocols: Collection[Protocol] = (Protocol.UDP, Protocol.TCP),
        own_addresses: Callable[[], Awaitable[Collection[IPAddress]]],
        rng: random.Random,
        post: Post,
        memory: SqliteStore,
    ) -> None:
        self._client = client
        self._keeper = keeper
        self._port = port
        self._announced = announced
        self._country = country
        self._protocols = protocols
        self._own_addresses = own_addresses
        self._rng = rng
        self._post = post
        self._fetching: asyncio.Task[None] | None = None
        self._memory = memory
        # Until the registry tells: a daemon that is restarted would else give up tunnels as one behind a NAT.
        self.endpoints: tuple[Endpoint, ...] = self._endpoints_at(announced) or self._remembered()
        self.last_error = ""
        """Why the registry could not be asked the last time; empty: it answered."""

    async def first_parameters(self) -> NetworkParameters:
        """The parameters to start with: cached, else from the registry, however long that takes."""
        delay_s = FIRST_RETRY_S
        while (parameters := self._keeper.parameters or self._keeper.load()) is None:
            try:
                await self._take((await self._asked(self._client.signed_parameters()))[0])
            except RegistryError as exc:
                log.warning("%s; next try in about %.0f s", exc, delay_s)
            else:
                continue
            await asyncio.sleep(delay_s * self._rng.uniform(0.75, 1.25))
            delay_s = min(2 * delay_s, LAST_RETRY_S)
        return parameters

    async def _take(self, signed: SignedParameters) -> None:
        try:
            await self._keeper.take(signed, "registry")
        except WireError as exc:
            raise RegistryError(f"the registry answered garbage: {exc}") from exc

    async def bootstrap(self) -> None:
        """Tell the registry where we are, learn peers and our own address.  Raises RegistryError."""
        response = await self._asked(self._client.bootstrap(self.endpoints))
        if not self._announced:
            reachable = response.observed.ip in await self._own_addresses()
            endpoints = self._endpoints_at((response.observed.ip,)) if reachable else ()
            if endpoints != self.endpoints:
                self.endpoints = endpoints
                self._memory.save_value(_ENDPOINTS, format_endpoints(endpoints).encode())
                log.info("reachable at %s", ", ".join(map(str, endpoints)) or "no address: behind a NAT")
                self._post(EndpointsChanged(endpoints))
                response = await self._asked(self._client.bootstrap(endpoints))
        peers = tuple(PeerSeen(p.prefix, p.endpoints, p.relayed) for p in response.peers)
        self._post(PeersLearned(peers, by_registry=True))

    async def refresh(self) -> None:
        """Wait at the registry for newer parameters; without a place there, ask now and then.

        Until cancelled; asks sooner again while the registry is away, soonest who had a place.
        """
        retry_s, last_retry_s = FIRST_RETRY_S, REFRESH_S
        while True:
            try:
                signed = await self._asked(self._client.parameters_after(self._keeper.version))
                if signed is not None:
                    await self._take(signed)
                delay_s, retry_s, last_retry_s = 0.0, FIRST_RETRY_S, LAST_RETRY_S
            except RegistryError as exc:
                if isinstance(exc, RefusedError) and exc.status == TOO_MANY:
                    self.last_error = ""  # it answers
                    delay_s, retry_s, last_retry_s = REFRESH_S, FIRST_RETRY_S, REFRESH_S
                else:
                    # 403: our certificate is not accepted, as when it is revoked; and that does not pass.
                    refused = isinstance(exc, RefusedError) and exc.status == FORBIDDEN
                    level = logging.WARNING if refused else logging.INFO
                    log.log(
                        level, "network parameters stay as they are: %s; next try in %.0f s", exc, retry_s
                    )
                    delay_s, retry_s = retry_s, min(2 * retry_s, last_retry_s)
            await asyncio.sleep(delay_s * self._rng.uniform(0.75, 1.25))

    def told(self, version: int) -> None:
        """The registry says on the relay that there are parameters of this version."""
        if version > self._keeper.version and (self._fetching is None or self._fetching.done()):
            self._fetching = asyncio.get_running_loop().create_task(self._fetch_soon())

    async def _fetch_soon(self) -> None:
        version = self._keeper.version
        await asyncio.sleep(self._rng.uniform(0.0, SOON_S))
        if self._keeper.version > version:
            return  # a neighbour was quicker
        try:
            await self._take((await self._asked(self._client.signed_parameters()))[0])
        except RegistryError as exc:
            log.info("newer network parameters are not to be had: %s", exc)

    def close(self) -> None:
        """Give up what is under way."""
        if self._fetching is not None:
            self._fetching.cancel()

    async def _asked(self, question: Awaitable[_T]) -> _T:
        try:
            answer = await question
        except RegistryError as exc:
            self.last_error = str(exc)
            raise
        self.last_error = ""
        return answer

    def _remembered(self) -> tuple[Endpoint, ...]:
        try:
            found = decode_endpoints_untrusted((self._memory.value(_ENDPOINTS) or b"").decode())
        except (WireError, UnicodeDecodeError) as exc:
            log.warning("our remembered endpoints are unreadable: %s", exc)
            return ()
        return self._endpoints_at(tuple(dict.fromkeys(endpoint.ip for endpoint in found)))

    def _endpoints_at(self, addresses: tuple[IPAddress, ...]) -> tuple[Endpoint, ...]:
        return tuple(
            Endpoint(address, self._port, protocol, self._country)
            for address in addresses
            for protocol in self._protocols
        )
