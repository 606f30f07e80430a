"""What peers may ask this node, by HTTPS with the network's certificates at both ends (TLS 1.3).

    POST /v1/message      a signed message (re6st_core.peer_wire); 200 and the signed answer, or 204
    GET  /v1/endpoints    where this node can be reached: 200, {"endpoints": [...]}

Served on the overlay address, and on the underlay behind the one TCP port (OpenVPN hands over what is not
its own).
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from re6st_core.address import Endpoint
from re6st_core.errors import WireError
from re6st_core.json_wire import encode_json
from re6st_core.peer_wire import MAX_MESSAGE
from re6stnet.adapters.tls_listener import TlsListener, peer_cn
from re6stnet.ports import Handler

PEER_PORT = 326
"""TCP, on the overlay (the number that re6st uses for UDP)."""
MESSAGE_PATH = "/v1/message"
ENDPOINTS_PATH = "/v1/endpoints"
MAX_PENDING = 64
"""Requests being served at one time; more are told to come back later."""

MAX_PENDING_PER_PEER = 4
"""Of those, with the certificate of one node: it cannot keep the others from being served."""
BODY_S = 5.0
"""How long a message may take to arrive, so that slow senders do not use up the pending ones."""


@dataclass(frozen=True, slots=True)
class EndpointsBody:
    """Answer to ``GET /v1/endpoints``."""

    endpoints: tuple[Endpoint, ...]


class PeerApi:
    """The HTTPS server of a node; ``handler`` gets messages before anything in them is trusted."""

    def __init__(
        self, tls: ssl.SSLContext, handler: Handler, endpoints: Callable[[], tuple[Endpoint, ...]]
    ) -> None:
        self._tls = tls
        self._handler = handler
        self._endpoints = endpoints
        self._pending: Counter[str] = Counter()
        self._listener: TlsListener | None = None
        self._app = app = web.Application(client_max_size=MAX_MESSAGE)
        app.router.add_post(MESSAGE_PATH, self._message)
        app.router.add_get(ENDPOINTS_PATH, self._tell_endpoints)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, keepalive_timeout=10)

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

    async def _message(self, request: web.Request) -> web.Response:
        peer = peer_cn(request.transport)
        if self._pending.total() >= MAX_PENDING or self._pending[peer] >= MAX_PENDING_PER_PEER:
            return web.Response(status=503, text="busy\n", headers={"Retry-After": "5"})
        self._pending[peer] += 1
        try:
            async with asyncio.timeout(BODY_S):
                body = await request.read()
            answer = await self._handler(body)
        except TimeoutError:
            return web.Response(status=408, text="the message did not come in time\n")
        except WireError as exc:
            return web.Response(status=400, text=f"{exc}\n")
        finally:
            self._pending[peer] -= 1
            self._pending += Counter()  # drops those that have none
        return web.Response(status=204) if answer is None else web.Response(body=answer)

    async def _tell_endpoints(self, _request: web.Request) -> web.Response:
        body = encode_json(EndpointsBody(self._endpoints()))
        return web.Response(body=body, content_type="application/json")
