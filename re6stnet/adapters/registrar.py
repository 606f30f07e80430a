"""The node's dealings with the registry: parameters, peers, and what it shows of our own address.

The registry may be away for as long as it likes: parameters come from the cache, checked by their signature,
and a failed question is asked again by the engine.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

from cryptography import x509

from re6st_core import logfields as lf
from re6st_core.address import Endpoint, IPAddress, Protocol
from re6st_core.errors import RegistryError, WireError
from re6st_core.json_wire import decode_json_untrusted, encode_json
from re6st_core.logfields import describe
from re6st_core.netparams import NetworkParameters, SignedParameters, verify_parameters_untrusted
from re6stnet.adapters.store import SqliteStore
from re6stnet.engine.messages import EndpointsChanged, ParametersChanged, PeerSeen, PeersLearned
from re6stnet.ports import Post
from registry.client import RegistryClient

log = logging.getLogger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0
REFRESH_S = 3600.0
_CACHED = "parameters"
_T = TypeVar("_T")


class Registrar:
    """Of one node.

    ``announced``: addresses that the operator gave; ``own_addresses``: underlay addresses of this host;
    ``protocols``: those by which the node is reached at its port.
    """

    def __init__(
        self,
        client: RegistryClient,
        ca: x509.Certificate,
        store: SqliteStore,
        *,
        port: int,
        announced: tuple[IPAddress, ...],
        country: str | None,
        protocols: Collection[Protocol] = (Protocol.UDP, Protocol.TCP),
        own_addresses: Callable[[], Awaitable[Collection[IPAddress]]],
        rng: random.Random,
        post: Post,
    ) -> None:
        self._client = client
        self._ca = ca
        self._store = store
        self._port = port
        self._announced = announced
        self._country = country
        self._protocols = protocols
        self._own_addresses = own_addresses
        self._rng = rng
        self._post = post
        self.enforce: Callable[[NetworkParameters], Awaitable[None]] = _nothing
        """What else must follow the parameters besides the engine."""
        self.endpoints: tuple[Endpoint, ...] = self._endpoints_at(announced)
        self.parameters: NetworkParameters | None = None
        self.last_error = ""
        """Why the registry could not be asked the last time; empty: it answered."""

    async def first_parameters(self) -> NetworkParameters:
        """The parameters to start with: cached, else from the registry, however long that takes."""
        cached = self._store.value(_CACHED)
        if cached is not None:
            try:
                signed = decode_json_untrusted(SignedParameters, cached)
                self.parameters = verify_parameters_untrusted(signed, self._ca)
            except WireError as exc:
                log.warning("cached network parameters are not usable: %s", exc)
            else:
                return self.parameters
        delay_s = FIRST_RETRY_S
        while True:
            try:
                return await self._fetch_parameters()
            except RegistryError as exc:
                log.warning("%s; next try in about %.0f s", exc, delay_s)
            await asyncio.sleep(delay_s * self._rng.uniform(0.75, 1.25))
            delay_s = min(2 * delay_s, LAST_RETRY_S)

    async def _fetch_parameters(self) -> NetworkParameters:
        signed, parameters = await self._asked(self._client.signed_parameters())
        if self.parameters is None or parameters.version > self.parameters.version:
            log.info(describe("network parameters", {lf.VERSION: parameters.version}))
            self.parameters = parameters
            self._store.save_value(_CACHED, encode_json(signed))
            self._post(ParametersChanged(parameters))
            await self.enforce(parameters)
        return self.parameters

    async def bootstrap(self) -> None:
        """Tell the registry where we are, learn peers and our own address.  Raises RegistryError."""
        response = await self._asked(self._client.bootstrap(self.endpoints))
        if not self._announced:
            reachable = response.observed.ip in await self._own_addresses()
            endpoints = self._endpoints_at((response.observed.ip,)) if reachable else ()
            if endpoints != self.endpoints:
                self.endpoints = endpoints
                log.info("reachable at %s", ", ".join(map(str, endpoints)) or "no address: behind a NAT")
                self._post(EndpointsChanged(endpoints))
                response = await self._asked(self._client.bootstrap(endpoints))
        self._post(PeersLearned(tuple(PeerSeen(p.prefix, p.endpoints, p.relayed) for p in response.peers)))

    async def refresh(self) -> None:
        """Look for newer parameters now and then, until cancelled; sooner while the registry is away."""
        retry_s = FIRST_RETRY_S
        while True:
            try:
                await self._fetch_parameters()
                delay_s, retry_s = REFRESH_S, FIRST_RETRY_S
            except RegistryError as exc:
                log.info("network parameters stay as they are: %s; next try in about %.0f s", exc, retry_s)
                delay_s, retry_s = retry_s, min(2 * retry_s, REFRESH_S)
            await asyncio.sleep(delay_s * self._rng.uniform(0.75, 1.25))

    async def _asked(self, question: Awaitable[_T]) -> _T:
        try:
            answer = await question
        except RegistryError as exc:
            self.last_error = str(exc)
            raise
        self.last_error = ""
        return answer

    def _endpoints_at(self, addresses: tuple[IPAddress, ...]) -> tuple[Endpoint, ...]:
        return tuple(
            Endpoint(address, self._port, protocol, self._country)
            for address in addresses
            for protocol in self._protocols
        )


async def _nothing(_parameters: NetworkParameters) -> None:
    """Before the node is put together nothing follows."""
