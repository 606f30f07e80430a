"""What peers may ask this node, by HTTPS with the network's certificates at both ends (TLS 1.3).

    POST /v1/message      a signed message (re6st_core.peer_wire); 200 and the signed answer, or 204
    POST /v1/parameters   versions and parameters of the network (re6st_core.spread_wire)
    GET  /v1/endpoints    where this node can be reached: 200, {"endpoints": [...]}

Served on the overlay address, and on the underlay behind the one TCP port (OpenVPN hands over what is not
its own).  Who has been revoked gets no answer, also on a connection made before.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from aiohttp import web

from re6st_core.address import Endpoint
from re6st_core.errors import WireError
from re6st_core.http_date import http_date
from re6st_core.json_wire import encode_json
from re6st_core.peer_wire import MAX_MESSAGE
from re6stnet.adapters.tls_listener import TlsListener, peer_cn, peer_serial

PEER_PORT = 326
"""TCP, on the overlay (the number that re6st uses for UDP)."""
MESSAGE_PATH = "/v1/message"
ENDPOINTS_PATH = "/v1/endpoints"
MAX_PENDING = 64
"""Requests being served at one time; more are told to come back later."""

MAX_PENDING_PER_PEER = 4
"""Of those, with the certificate of one node: it cannot keep the others from being served."""
SHARE = 4
"""Of the places that a path has for itself one node gets one in so many."""
BODY_S = 5.0
"""How long a message may take to arrive, so that slow senders do not use up the pending ones."""


Handler = Callable[[str, bytes], Awaitable[bytes | None]]
"""Takes the CN and the message of a member, returns the answer or nothing; raises WireError."""


@dataclass(frozen=True, slots=True)
class EndpointsBody:
    """Answer to ``GET /v1/endpoints``."""

    endpoints: tuple[Endpoint, ...]


class PeerApi:
    """The HTTPS server of a node.

    ``revoked`` tells the serial numbers that get no answer; ``now`` the time that the mesh goes by, of which
    answers tell those whose clock is wrong.
    """

    def __init__(
        self,
        tls: ssl.SSLContext,
        endpoints: Callable[[], tuple[Endpoint, ...]],
        revoked: Callable[[], frozenset[int]] = frozenset,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tls = tls
        self._endpoints = endpoints
        self._revoked = revoked
        self._now = now
        self._pending: Counter[str] = Counter()
        self._listener: TlsListener | None = None
        self._app = app = web.Application(client_max_size=0, middlewares=[self._only_members])
        app.router.add_get(ENDPOINTS_PATH, self._tell_endpoints)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, keepalive_timeout=10)

    def serve(
        self, path: str, handler: Handler, *, limit: int = MAX_MESSAGE, at_once: int = MAX_PENDING
    ) -> None:
        """Let a handler have the POST requests to this path; before the first :meth:`listen`.

        ``limit``: bytes of a request; ``at_once``: how many are served at one time.
        """
        served: Counter[str] = Counter()
        self._app.router.add_post(path, partial(self._post, handler, limit, at_once, served))

    async def listen(self, host: str, port: int) -> int:
        """Listen on one more address; return the port (0: any).  Raises ConfigError if it is taken."""
        if self._listener is None:
            self._listener = TlsListener(self._server, self._tls)
            self._app.middlewares.append(self._listener.middleware)
            await self._runner.setup()
        return self._listener.listen(host, port)

    def _server(self) -> asyncio.Protocol:
        assert self._runner.server is not None, "setup() has made it"
        return self._runner.server()

    async def close(self) -> None:
        """Stop listening, end what is being served."""
        if self._listener is not None:
            await self._listener.close()
        await self._runner.cleanup()

    @web.middleware
    async def _only_members(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if peer_serial(request.transport) in self._revoked():
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=403)  # which nobody sees
        response = await handler(request)
        response.headers["Date"] = http_date(self._now())
        return response

    async def _post(
        self, handler: Handler, limit: int, at_once: int, served: Counter[str], request: web.Request
    ) -> web.Response:
        peer = peer_cn(request.transport)
        if self._pending.total() >= MAX_PENDING or self._pending[peer] >= MAX_PENDING_PER_PEER:
            return _busy()
        if served.total() >= at_once or served[peer] >= max(1, at_once // SHARE):
            return _busy()
        self._pending[peer] += 1
        served[peer] += 1
        try:
            async with asyncio.timeout(BODY_S):
                body = await _body(request, limit)
            answer = await handler(peer, body)
        except TimeoutError:
            return web.Response(status=408, text="the message did not come in time\n")
        except WireError as exc:
            return web.Response(status=400, text=f"{exc}\n")
        finally:
            _leave(self._pending, peer)
            _leave(served, peer)
        return web.Response(status=204) if answer is None else web.Response(body=answer)

    async def _tell_endpoints(self, _request: web.Request) -> web.Response:
        body = encode_json(EndpointsBody(self._endpoints()))
        return web.Response(body=body, content_type="application/json")


def _leave(counter: Counter[str], peer: str) -> None:
    counter[peer] -= 1
    if not counter[peer]:
        del counter[peer]


def _busy() -> web.Response:
    return web.Response(status=503, text="busy\n", headers={"Retry-After": "5"})


async def _body(request: web.Request, limit: int) -> bytes:
    """The whole body.  Raises HTTPRequestEntityTooLarge."""
    body = b""
    while chunk := await request.content.read(limit + 1 - len(body)):
        body += chunk
        if len(body) > limit:
            raise web.HTTPRequestEntityTooLarge(limit, len(body))
    return body
