"""Connections that send nothing, or send slowly, are closed: they cost the others file descriptors.

aiohttp limits neither the time before the first request nor that of its header, so we do, from outside:
after a connection is made, and after each answer, the next request must arrive within :data:`IDLE_S`.
"""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

IDLE_S = 30.0
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """Deadlines of all connections of one server."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._deadlines: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}

    def watched(self, factory: Callable[[], asyncio.BaseProtocol]) -> Callable[[], asyncio.BaseProtocol]:
        """A protocol factory whose connections have a deadline."""

        def make() -> asyncio.BaseProtocol:
            protocol = factory()
            self._arm(protocol)
            return protocol

        return make

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """No deadline while a request is served: handlers have their own."""
        if timer := self._deadlines.pop(request.protocol, None):
            timer.cancel()
        try:
            return await handler(request)
        finally:
            self._arm(request.protocol)

    def _arm(self, protocol: asyncio.BaseProtocol) -> None:
        loop = asyncio.get_running_loop()
        self._deadlines[protocol] = loop.call_later(self._idle_s, self._expire, protocol)

    def _expire(self, protocol: asyncio.BaseProtocol) -> None:
        del self._deadlines[protocol]
        transport = getattr(protocol, "transport", None)
        if transport is not None:
            transport.abort()
