"""Ask other nodes by HTTPS: over the overlay, or at their control port on the underlay, in marked packets.

TLS checks that the certificate carries the peer's overlay address, so nothing is even sent to a wrong node.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from datetime import datetime

import aiohttp

from re6st_core.address import Endpoint
from re6st_core.errors import PeerError, WireError
from re6st_core.http_date import decode_http_date_untrusted
from re6st_core.peer_wire import MAX_MESSAGE
from re6st_core.prefix import Network, Prefix
from re6stnet.adapters.peer_api import PEER_PORT

CONNECT_S, TOTAL_S = 3.0, 10.0


class PeerHttp:
    """``mark``: fwmark of underlay packets; ``on_date`` is told the date of each peer's answers."""

    def __init__(
        self,
        network: Network,
        tls: ssl.SSLContext,
        *,
        mark: int,
        on_date: Callable[[Prefix, datetime], None] = lambda _peer, _date: None,
    ) -> None:
        self._network = network
        self._tls = tls
        self._mark = mark
        self._on_date = on_date
        self._underlay: aiohttp.ClientSession | None = None
        self._overlay: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Make the HTTP clients (they belong to the running loop)."""

        def marked(info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
            sock = socket.socket(info[0], info[1], info[2])
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, self._mark)
            return sock

        marking = aiohttp.TCPConnector(ssl=self._tls, force_close=True, socket_factory=marked)
        plain = aiohttp.TCPConnector(ssl=self._tls, keepalive_timeout=10)
        self._underlay, self._overlay = (
            aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(connect=CONNECT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # a few bytes of a peer must not become many here
            )
            for connector in (marking, plain)
        )

    async def close(self) -> None:
        """Close all connections."""
        for session in (self._underlay, self._overlay):
            if session is not None:
                await session.close()

    async def ask(
        self,
        peer: Prefix,
        path: str,
        data: bytes | None = None,
        *,
        endpoint: Endpoint | None = None,
        limit: int = MAX_MESSAGE,
        within_s: float = TOTAL_S,
    ) -> bytes:
        """Body of the answer to a POST (or, without ``data``, a GET); empty if there is none.

        ``endpoint``: of the peer on the underlay; None: over the overlay.  Raises PeerError, also for an
        answer that is not success or longer than ``limit`` bytes.
        """
        session = self._overlay if endpoint is None else self._underlay
        assert session is not None, "start() was not awaited"
        address = str(self._network.address(peer))
        base = f"https://[{address}]:{PEER_PORT}" if endpoint is None else _url(endpoint)
        try:
            async with (
                asyncio.timeout(within_s),
                session.request(
                    "GET" if data is None else "POST",
                    base + path,
                    data=data,
                    server_hostname=address,
                    allow_redirects=False,
                ) as response,
            ):
                self._note_date(peer, response.headers.get("Date", ""))
                body = await _read(response, limit)
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise PeerError(f"{base}: {exc or 'no answer'}") from exc
        if response.status not in (200, 204):
            raise PeerError(f"{base} answers {response.status}: {body[:200].decode(errors='replace')}")
        return body

    def _note_date(self, peer: Prefix, text: str) -> None:
        try:
            date = decode_http_date_untrusted(text)
        except WireError:
            return  # it does not tell
        self._on_date(peer, date)


def _url(endpoint: Endpoint) -> str:
    host = f"[{endpoint.ip}]" if endpoint.ip.version == 6 else str(endpoint.ip)
    return f"https://{host}:{endpoint.port}"


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The whole body.  Raises PeerError if it is longer than that."""
    body = b""
    while chunk := await response.content.read(limit + 1 - len(body)):
        body += chunk
        if len(body) > limit:
            raise PeerError(f"{response.url.host} sends more than {limit} bytes")
    return body
