"""Carry signed messages between nodes, by the first way that works.

    1. back on the HTTP request that brought the offer (an answer)
    2. the overlay: HTTPS to the peer's overlay address, when Babel has a route
    3. the registry's WebSocket, while we keep one
    4. the peer's control port: HTTPS to its TCP endpoint on the underlay

The signature in the message is what counts; the way is not trusted.
"""

import asyncio
import dataclasses
import logging
import secrets
from collections import deque
from collections.abc import Callable
from datetime import datetime

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import PeerError, RegistryError, WireError
from re6st_core.json_wire import decode_json_untrusted
from re6st_core.peer_wire import (
    LIFETIME,
    MAX_MESSAGE,
    Answer,
    Close,
    Drain,
    Message,
    Offer,
    decode_signed_untrusted,
    encode_signed,
)
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import RelayFrame
from re6stnet.adapters.credentials import Credentials
from re6stnet.adapters.peer_api import ENDPOINTS_PATH, MESSAGE_PATH, EndpointsBody
from re6stnet.adapters.peer_http import CONNECT_S, TOTAL_S, PeerHttp
from re6stnet.adapters.relay import Relay
from re6stnet.engine.messages import Received, Undeliverable
from re6stnet.ports import Post

log = logging.getLogger(__name__)

CLOSE_S = 1.0
REPLY_S = 9.0
"""How long the bearer of an offer waits for our answer."""
MAX_WAITING = 64
COMPLAIN_EVERY_S = 60.0


class PeerMessenger:
    """``is_routed``: whether Babel has a route to a node; ``now``: the time that the mesh goes by."""

    def __init__(
        self,
        credentials: Credentials,
        relay: Relay,
        http: PeerHttp,
        *,
        is_routed: Callable[[Prefix], bool],
        revoked: Callable[[], frozenset[int]],
        now: Callable[[], datetime],
        post: Post,
    ) -> None:
        self._credentials = credentials
        self._relay = relay
        self._http = http
        self._is_routed = is_routed
        self._revoked = revoked
        self._now = now
        self._post = post
        self._replies: dict[str, asyncio.Future[bytes]] = {}
        self._by_relay: deque[tuple[float, Message, tuple[Endpoint, ...]]] = deque(maxlen=MAX_WAITING)
        self._complain_at = 0.0
        self._again: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Give up what is under way."""
        for task in self._again:
            task.cancel()

    # --- outgoing ---------------------------------------------------------------------------------------

    async def send(self, message: Message, endpoints: tuple[Endpoint, ...]) -> None:
        """Sign, stamp and carry.  Raises PeerError if there is no way (not always known at once)."""
        envelope = self._sign(message)
        if isinstance(message, Answer) and (reply := self._replies.pop(message.nonce, None)):
            if not reply.done():
                reply.set_result(envelope)
            return
        if self._is_routed(message.recipient):
            try:
                await self._post_overlay(message, envelope)
                return
            except PeerError as exc:
                log.debug("%s by the overlay: %s", message.recipient, exc)
        if self._relay.connected or await self._relay_comes(message, endpoints):
            self._by_relay.append((asyncio.get_running_loop().time(), message, endpoints))
            try:
                await self._relay.send(RelayFrame(peer=message.recipient, message=envelope.decode()))
                return
            except RegistryError as exc:
                log.debug("%s by the registry: %s", message.recipient, exc)
        await self._post_underlay(message, envelope, endpoints)

    async def _relay_comes(self, message: Message, endpoints: tuple[Endpoint, ...]) -> bool:
        """Wait for a relay that is being connected, as it is when a node starts, if there is no other way."""
        if isinstance(message, Close | Drain) or any(e.protocol is Protocol.TCP for e in endpoints):
            return False
        return await self._relay.wait_connected(CONNECT_S)

    def _sign(self, message: Message) -> bytes:
        expires = int((self._now() + LIFETIME).timestamp())
        message = dataclasses.replace(message, expires=expires)
        return encode_signed(message, self._credentials.key, self._credentials.identity.certificate)

    async def _post_overlay(self, message: Message, envelope: bytes) -> None:
        await self._bring(message, envelope, None)

    async def _post_underlay(
        self, message: Message, envelope: bytes, endpoints: tuple[Endpoint, ...]
    ) -> None:
        target = next((e for e in endpoints if e.protocol is Protocol.TCP), None)
        if target is None:
            raise PeerError(f"no way to {message.recipient}: not routed, not on the relay, no TCP endpoint")
        await self._bring(message, envelope, target)

    async def _bring(self, message: Message, envelope: bytes, endpoint: Endpoint | None) -> None:
        within_s = CLOSE_S if isinstance(message, Close) else TOTAL_S
        peer = message.recipient
        body = await self._http.ask(peer, MESSAGE_PATH, envelope, endpoint=endpoint, within_s=within_s)
        if body:
            try:
                self._receive(body)
            except WireError as exc:
                raise PeerError(f"{peer}: {exc}") from exc

    async def ask_endpoints(self, peer: Prefix) -> tuple[Endpoint, ...]:
        """Ask over the overlay where the peer can be reached.  Raises PeerError."""
        body = await self._http.ask(peer, ENDPOINTS_PATH)
        try:
            return decode_json_untrusted(EndpointsBody, body, max_size=MAX_MESSAGE).endpoints
        except WireError as exc:
            raise PeerError(f"{peer}: {exc}") from exc

    # --- incoming ---------------------------------------------------------------------------------------

    async def handle(self, _peer: str, data: bytes) -> bytes | None:
        """A message brought by HTTP, whoever brings it: an offer waits for its answer.  Raises WireError."""
        received = self._decode(data)
        message = received.message
        if not isinstance(message, Offer):
            self._post(received)
            return None
        if message.nonce in self._replies:
            raise WireError("this offer is being answered already")
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._replies[message.nonce] = reply
        try:
            self._post(received)
            async with asyncio.timeout(REPLY_S):
                return await reply
        except TimeoutError:
            return None
        finally:
            self._replies.pop(message.nonce, None)

    def relayed(self, frame: RelayFrame) -> None:
        """A frame from the registry: a message, or news that ours could not be delivered."""
        if frame.error:
            # The registry does not say which frame, but answers in order: the oldest recent one for this peer
            loop = asyncio.get_running_loop()
            recent = (w for w in self._by_relay if loop.time() - w[0] < CONNECT_S)
            waiting = next((w for w in recent if w[1].recipient == frame.peer), None)
            if waiting is not None:
                self._by_relay.remove(waiting)
                task = loop.create_task(self._after_relay(*waiting[1:]))
                self._again.add(task)
                task.add_done_callback(self._again.discard)
            return
        try:
            self._receive(frame.message.encode())
        except WireError as exc:
            self._complain(frame.peer, exc)

    def _complain(self, peer: Prefix, error: WireError) -> None:
        """A warning once in a while; whoever sends nonsense sends much of it."""
        now = asyncio.get_running_loop().time()
        level = logging.WARNING if now >= self._complain_at else logging.DEBUG
        if level == logging.WARNING:
            self._complain_at = now + COMPLAIN_EVERY_S
        log.log(level, "dropped a relayed message of %s: %s", peer, error)

    async def _after_relay(self, message: Message, endpoints: tuple[Endpoint, ...]) -> None:
        try:
            await self._post_underlay(message, self._sign(message), endpoints)
        except PeerError as exc:
            if not isinstance(message, Close | Drain):
                self._post(Undeliverable(message.nonce, str(exc)))

    def _receive(self, data: bytes) -> None:
        self._post(self._decode(data))

    def _decode(self, data: bytes) -> Received:
        message, identity = decode_signed_untrusted(
            data,
            ca=self._credentials.ca,
            recipient=self._credentials.identity.prefix,
            revoked=self._revoked(),
            now=self._now(),
        )
        return Received(message, identity.serial)


def new_nonce() -> str:
    """An unguessable name for a tunnel."""
    return secrets.token_hex(16)
