"""The key that authenticates Babel's packets (RFC 8967): fetched in time, kept privately, changed at once.

    parameters tell of a new key --> fetched, from the registry, else a peer --> used from ``mac_from`` on

babeld takes a new value for a key that its interfaces use, at once and without being asked twice.  All nodes
change at the same time of the mesh: two neighbours differ by a second at most, and babeld misses a hello or
two without giving anybody up.  The key is in no argument, log or file that others can read.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from pathlib import Path

import msgspec

from re6st_core.address import Endpoint
from re6st_core.errors import ConfigError, PeerError, Re6stError, RegistryError, WireError
from re6st_core.json_wire import decode_json_untrusted, encode_json
from re6st_core.mac_key import (
    KEY_PATH,
    MAX_KEY_MESSAGE,
    KeyWanted,
    decode_key_untrusted,
    decode_wanted_untrusted,
)
from re6st_core.netparams import NetworkParameters
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import BabelKeyResponse
from re6stnet.adapters.clock import Clock
from re6stnet.adapters.parameters import ParametersKeeper
from re6stnet.adapters.peer_http import PeerHttp
from re6stnet.enrolment.places import Place
from registry.client import RegistryClient

log = logging.getLogger(__name__)

KEY_NAME = "re6st"
"""What babeld calls it."""
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0
SPREAD_S = 60.0
"""Nodes ask for a new key within that time, or half of what there is, not all at once."""
PEERS = 4
"""How many are asked while the registry is away."""

SetKey = Callable[[str, bytes], Awaitable[None]]
Peers = Callable[[], Sequence[tuple[Prefix, Endpoint | None]]]


class BabelKeys:
    """``peers``: who may be asked, and where (None: over the overlay)."""

    def __init__(
        self,
        path: Path,
        client: RegistryClient,
        http: PeerHttp,
        keeper: ParametersKeeper,
        clock: Clock,
        *,
        peers: Peers,
        rng: random.Random,
    ) -> None:
        self._path = path
        self._client = client
        self._http = http
        self._keeper = keeper
        self._clock = clock
        self.peers = peers
        self._rng = rng
        self._keys = _read(path)
        self.in_use = 0
        """Number of the key that babeld has; 0: none."""
        self._news = asyncio.Event()
        self._failure = ""
        keeper.followers.append(self._newer)

    @property
    def _parameters(self) -> NetworkParameters:
        assert self._keeper.parameters is not None, "there are none before the first"
        return self._keeper.parameters

    @property
    def _now(self) -> float:
        return self._clock.precisely().timestamp()

    async def first(self) -> None:
        """Have the key that is in use now, however long that takes."""
        delay_s = FIRST_RETRY_S
        while not await self._have(self._parameters.epoch_at(self._now)):
            log.warning("%s; next try in about %.0f s", self._failure, delay_s)
            await asyncio.sleep(delay_s * self._rng.uniform(0.75, 1.25))
            delay_s = min(2 * delay_s, LAST_RETRY_S)

    async def install(self, set_key: SetKey) -> None:
        """Give babeld the key in use now, if it has not got it.  Raises RouterError."""
        epoch = self._parameters.epoch_at(self._now)
        if epoch != self.in_use and epoch in self._keys:
            await set_key(KEY_NAME, self._keys[epoch])
            self.in_use = epoch
            log.info("Babel's packets are authenticated with key %d", epoch)

    async def run(self, set_key: SetKey) -> None:
        """Fetch new keys and change to them in time, until cancelled."""
        retry_s = FIRST_RETRY_S
        while True:
            self._news.clear()
            done = False
            try:
                await self.install(set_key)
                wanted = {self._parameters.epoch_at(self._now), self._parameters.mac_epoch}
                done = all([await self._have(epoch) for epoch in sorted(wanted)])
                await self.install(set_key)
            except Re6stError as exc:
                self._failure = str(exc)
            if not done:
                log.warning(
                    "the key of Babel's packets: %s; next try in about %.0f s", self._failure, retry_s
                )
            left_s = self._parameters.mac_from - self._now
            delay_s = LAST_RETRY_S if done else retry_s * self._rng.uniform(0.75, 1.25)
            retry_s = FIRST_RETRY_S if done else min(2 * retry_s, LAST_RETRY_S)
            try:
                async with asyncio.timeout(min(delay_s, left_s) if left_s > 0 else delay_s):
                    await self._news.wait()
                    await self._stand_in_line()
            except TimeoutError:
                pass

    async def _stand_in_line(self) -> None:
        """So that not all ask the registry at once."""
        if self._parameters.mac_epoch not in self._keys:
            left_s = max(self._parameters.mac_from - self._now, 0.0)
            await asyncio.sleep(self._rng.uniform(0.0, min(SPREAD_S, left_s / 2)))

    async def _newer(self, _parameters: NetworkParameters) -> None:
        self._news.set()

    def warnings(self) -> list[str]:
        """What the operator must see to."""
        wanted = self._parameters.mac_epoch if self._keeper.parameters else 0
        if not wanted or wanted in self._keys:
            return []
        return [f"key {wanted} of Babel's packets is not to be had: {self._failure}"]

    async def _have(self, epoch: int) -> bool:
        """Whether this key is there, once it was asked for if need be."""
        if not epoch or epoch in self._keys:
            return True
        try:
            key = await self._fetch(epoch)
        except Re6stError as exc:
            self._failure = str(exc)
            return False
        newest = self._parameters.mac_epoch
        self._keys = {n: k for n, k in self._keys.items() if n >= newest - 1} | {epoch: key}
        self._failure = ""
        try:
            _write(self._path, self._keys)
        except ConfigError as exc:
            log.warning("%s: the key of Babel's packets is not kept", exc)
        return True

    async def _fetch(self, epoch: int) -> bytes:
        """From the registry, else a peer.  Raises RegistryError, PeerError."""
        try:
            return await self._client.babel_key(epoch)
        except RegistryError:
            if epoch != self._parameters.mac_epoch:
                raise  # a peer's word could not be tested
            peers = list(self.peers())
            self._rng.shuffle(peers)
            for peer, endpoint in peers[:PEERS]:
                try:
                    return await self._ask(peer, endpoint, epoch)
                except (PeerError, WireError) as exc:
                    log.debug("the key of Babel's packets from %s: %s", peer, exc)
            raise

    async def _ask(self, peer: Prefix, endpoint: Endpoint | None, epoch: int) -> bytes:
        data = encode_json(KeyWanted(epoch=epoch))
        answer = await self._http.ask(peer, KEY_PATH, data, endpoint=endpoint, limit=MAX_KEY_MESSAGE)
        key = decode_key_untrusted(answer, epoch)
        if sha256(key).hexdigest() != self._parameters.mac_digest:
            raise PeerError(f"{peer} tells a wrong key")
        return key

    async def serve(self, _peer: str, data: bytes) -> bytes:
        """A member, as TLS has checked, wants a key.  Raises WireError if we have not got it."""
        epoch = decode_wanted_untrusted(data)
        key = self._keys.get(epoch)
        if key is None:
            raise WireError(f"key {epoch} is not here")
        return encode_json(BabelKeyResponse(epoch=epoch, key=key.hex()))


def _read(path: Path) -> dict[int, bytes]:
    """Keys of the last time; nothing if there are none that can be read."""
    try:
        kept = decode_json_untrusted(dict[str, str], path.read_bytes(), max_size=MAX_KEY_MESSAGE)
        return {int(epoch): bytes.fromhex(key) for epoch, key in kept.items()}
    except (OSError, WireError, ValueError, msgspec.MsgspecError):
        return {}


def _write(path: Path, keys: dict[int, bytes]) -> None:
    """Raises ConfigError."""
    with Place(path, mode=0o600) as place:
        place.write(encode_json({str(epoch): key.hex() for epoch, key in keys.items()}))
