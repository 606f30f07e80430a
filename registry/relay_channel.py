"""The relay as a node uses it: a WebSocket to the registry, over which frames go both ways."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp

from re6st_core.errors import RegistryError, WireError
from re6st_core.json_wire import decode_json_untrusted, encode_json
from re6st_core.registry_wire import MAX_RELAYED, RelayFrame
from registry.errors import RefusedError, UnreachableError
from registry.exchange import CONNECT_TIMEOUT_S, TIMEOUT_S, explained, reason

HEARTBEAT_S = 20.0


class RelayChannel:
    """An open connection to the relay."""

    def __init__(self, socket_: aiohttp.ClientWebSocketResponse, url: str) -> None:
        self._socket = socket_
        self._url = url

    async def send(self, frame: RelayFrame) -> None:
        """Send one frame.  Raises RegistryError when the connection is closed, or the frame too long."""
        text = encode_json(frame).decode()
        if len(text) > MAX_RELAYED:
            raise RegistryError(f"{self._url}: a frame of {len(text)} bytes is too long")
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._socket.send_str(text)
        except (aiohttp.ClientError, ConnectionError, TimeoutError, RuntimeError) as exc:
            raise UnreachableError(f"{self._url}: the connection is closed") from exc

    async def receive(self) -> RelayFrame:
        """Next frame.  Raises RegistryError when the connection is closed, or what comes is no frame."""
        message = await self._socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            why = f": {message.extra}" if message.extra else ""
            raise UnreachableError(f"{self._url}: the connection is closed{why}")
        try:
            return decode_json_untrusted(RelayFrame, message.data, max_size=MAX_RELAYED)
        except WireError as exc:
            raise RegistryError(f"{self._url}: {exc}") from exc


class RelayConnector:
    """Connects to one registry's relay, again and again."""

    def __init__(self, url: str, tls: ssl.SSLContext, fwmark: int | None) -> None:
        self._url = url
        connector = aiohttp.TCPConnector(ssl=tls, socket_factory=_marking(fwmark), limit=8)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[RelayChannel]:
        """Connect; leaving the context disconnects.  Raises RegistryError."""
        with _explained(self._url):
            timeout = aiohttp.ClientWSTimeout(ws_close=2)
            async with asyncio.timeout(TIMEOUT_S):
                connecting = self._session.ws_connect(
                    self._url, heartbeat=HEARTBEAT_S, max_msg_size=MAX_RELAYED, timeout=timeout
                )
                socket_ = await connecting
        try:
            yield RelayChannel(socket_, self._url)
        finally:
            await socket_.close()


def _marking(fwmark: int | None) -> Callable[[Any], socket.socket] | None:
    """Sockets whose packets the routing rules keep out of the overlay."""
    if fwmark is None:
        return None

    def make(address: Any) -> socket.socket:  # aiohttp's AddrInfoType
        family, kind, protocol, *_ = address
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, fwmark)
        return made

    return make


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn what aiohttp raises into our errors."""
    try:
        with explained(url):
            yield
    except aiohttp.ClientConnectorCertificateError as exc:
        raise UnreachableError(f"{url} is not the registry of this network: {reason(exc)}") from exc
    except aiohttp.WSServerHandshakeError as exc:
        raise RefusedError(f"{url} answered {exc.status}: {exc.message}", exc.status) from exc
    except aiohttp.ClientConnectionError as exc:
        raise UnreachableError(f"{url} cannot be reached: {reason(exc)}") from exc
    except (aiohttp.ClientError, ValueError) as exc:
        raise RegistryError(f"{url} answered garbage: {reason(exc)}") from exc
