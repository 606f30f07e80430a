"""Carry signed messages between nodes, by the first way that works.

    1. back on the HTTP request that brought the offer (an answer)
    2. the overlay: HTTPS to the peer's overlay address, when Babel has a route
    3. the registry's WebSocket, while we keep one
    4. the peer's control port: HTTPS to its TCP endpoint on the underlay

The signature in the message is what counts; the way is not trusted.  On both kinds of HTTPS, TLS still checks
that the certificate carries the peer's overlay address, so nothing is even sent to a wrong node.
"""

import asyncio
import dataclasses
import logging
import secrets
import socket
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

import aiohttp

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import PeerError, RegistryError, WireError
from re6st_core.json_wire import decode_json_untrusted
from re6st_core.peer_wire import (
    LIFETIME,
    MAX_MESSAGE,
    Answer,
    Close,
    Message,
    Offer,
    decode_signed_untrusted,
    encode_signed,
)
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import RelayFrame
from re6stnet.adapters.credentials import Credentials
from re6stnet.adapters.peer_api import ENDPOINTS_PATH, MESSAGE_PATH, PEER_PORT, EndpointsBody
from re6stnet.adapters.relay import Relay
from re6stnet.engine.messages import Received, Undeliverable
from re6stnet.ports import Post

log = logging.getLogger(__name__)

CONNECT_S, TOTAL_S, CLOSE_S = 3.0, 10.0, 1.0
REPLY_S = 9.0
"""How long the bearer of an offer waits for our answer."""
MAX_WAITING = 64


class PeerMessenger:
    """``is_routed``: whether Babel has a route to a node; ``mark``: fwmark of underlay packets."""

    def __init__(
        self,
        credentials: Credentials,
        relay: Relay,
        *,
        mark: int,
        is_routed: Callable[[Prefix], bool],
        revoked: Callable[[], frozenset[int]],
        post: Post,
    ) -> None:
        self._credentials = credentials
        self._relay = relay
        self._is_routed = is_routed
        self._revoked = revoked
        self._post = post
        self._tls = credentials.client_context()
        self._replies: dict[str, asyncio.Future[bytes]] = {}
        self._by_relay: deque[tuple[float, Message, tuple[Endpoint, ...]]] = deque(maxlen=MAX_WAITING)
        self._again: set[asyncio.Task[None]] = set()
        self._mark = mark
        self._underlay: aiohttp.ClientSession | None = None
        self._overlay: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Make the HTTP clients (they belong to the running loop)."""

        def marked(info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
            sock = socket.socket(info[0], info[1], info[2])
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, self._mark)
            return sock

        timeout = aiohttp.ClientTimeout(total=TOTAL_S, connect=CONNECT_S)
        marking = aiohttp.TCPConnector(ssl=self._tls, force_close=True, socket_factory=marked)
        plain = aiohttp.TCPConnector(ssl=self._tls, keepalive_timeout=10)
        self._underlay, self._overlay = (
            aiohttp.ClientSession(
                connector=connector,
                timeout=timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # a few bytes of a peer must not become many here
            )
            for connector in (marking, plain)
        )

    async def close(self) -> None:
        """Close all connections."""
        for task in self._again:
            task.cancel()
        for session in (self._underlay, self._overlay):
            if session is not None:
                await session.close()

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
        if isinstance(message, Close) or any(e.protocol is Protocol.TCP for e in endpoints):
            return False
        return await self._relay.wait_connected(CONNECT_S)

    def _sign(self, message: Message) -> bytes:
        expires = int((datetime.now(UTC) + LIFETIME).timestamp())
        message = dataclasses.replace(message, expires=expires)
        return encode_signed(message, self._credentials.key, self._credentials.identity.certificate)

    async def _post_overlay(self, message: Message, envelope: bytes) -> None:
        address = self._address(message.recipient)
        await self._request(self._overlay, f"https://[{address}]:{PEER_PORT}", message, envelope)

    async def _post_underlay(
        self, message: Message, envelope: bytes, endpoints: tuple[Endpoint, ...]
    ) -> None:
        target = next((e for e in endpoints if e.protocol is Protocol.TCP), None)
        if target is None:
            raise PeerError(f"no way to {message.recipient}: not routed, not on the relay, no TCP endpoint")
        host = f"[{target.ip}]" if target.ip.version == 6 else str(target.ip)
        await self._request(self._underlay, f"https://{host}:{target.port}", message, envelope)

    async def _request(
        self, session: aiohttp.ClientSession | None, base: str, message: Message, envelope: bytes
    ) -> None:
        assert session is not None, "start() was not awaited"
        limit = CLOSE_S if isinstance(message, Close) else TOTAL_S
        try:
            async with (
                asyncio.timeout(limit),
                session.post(
                    base + MESSAGE_PATH,
                    data=envelope,
                    server_hostname=self._address(message.recipient),
                    allow_redirects=False,
                ) as response,
            ):
                body = await _read(response)
                if response.status not in (200, 204):
                    raise PeerError(
                        f"{base} answers {response.status}: {body[:200].decode(errors='replace')}"
                    )
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise PeerError(f"{base}: {exc or 'no answer'}") from exc
        if body:
            try:
                self._receive(body)
            except WireError as exc:
                raise PeerError(f"{base}: {exc}") from exc

    def _address(self, peer: Prefix) -> str:
        return str(self._credentials.identity.network.address(peer))

    async def ask_endpoints(self, peer: Prefix) -> tuple[Endpoint, ...]:
        """Ask over the overlay where the peer can be reached.  Raises PeerError."""
        assert self._overlay is not None, "start() was not awaited"
        address = self._address(peer)
        try:
            async with self._overlay.get(
                f"https://[{address}]:{PEER_PORT}{ENDPOINTS_PATH}",
                server_hostname=address,
                allow_redirects=False,
            ) as response:
                if response.status != 200:
                    raise PeerError(f"{peer} answers {response.status}")
                body = await _read(response)
                return decode_json_untrusted(EndpointsBody, body, max_size=MAX_MESSAGE).endpoints
        except (aiohttp.ClientError, OSError, TimeoutError, WireError) as exc:
            raise PeerError(f"{peer}: {exc or 'no answer'}") from exc

    # --- incoming ---------------------------------------------------------------------------------------

    async def handle(self, data: bytes) -> bytes | None:
        """A message brought by HTTP: wait for the engine's answer to an offer.  Raises WireError."""
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
            log.warning("dropped a relayed message of %s: %s", frame.peer, exc)

    async def _after_relay(self, message: Message, endpoints: tuple[Endpoint, ...]) -> None:
        try:
            await self._post_underlay(message, self._sign(message), endpoints)
        except PeerError as exc:
            if not isinstance(message, Close):
                self._post(Undeliverable(message.nonce, str(exc)))

    def _receive(self, data: bytes) -> None:
        self._post(self._decode(data))

    def _decode(self, data: bytes) -> Received:
        message, identity = decode_signed_untrusted(
            data,
            ca=self._credentials.ca,
            recipient=self._credentials.identity.prefix,
            revoked=self._revoked(),
            now=datetime.now(UTC),
        )
        return Received(message, identity.serial)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The whole body.  Raises PeerError if it is longer than any message."""
    body = b""
    while chunk := await response.content.read(MAX_MESSAGE + 1 - len(body)):
        body += chunk
        if len(body) > MAX_MESSAGE:
            raise PeerError(f"{response.url.host} sends more than {MAX_MESSAGE} bytes")
    return body


def new_nonce() -> str:
    """An unguessable name for a tunnel."""
    return secrets.token_hex(16)
