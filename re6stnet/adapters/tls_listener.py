"""A TLS server that strangers cannot use up: they reach it by the shared port, and cost file descriptors.

    accept --> handshake, at most HANDSHAKE_S --> request --> ... each one begins within IDLE_S of the last

When all connections are in use, a new one takes the place of the oldest that has not shown a certificate yet;
those that have are members of the network, and each member has only so many.
"""

import asyncio
import logging
import os
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from re6st_core.errors import ConfigError

log = logging.getLogger(__name__)

HANDSHAKE_S: Final = 10.0
IDLE_S: Final = 15.0
MAX_CONNECTIONS: Final = 256
MAX_PER_PEER: Final = 16
_GOODBYE_S: Final = 1.0
_BACKLOG: Final = 128
_NO_RESOURCES_S: Final = 1.0

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def peer_cn(transport: asyncio.BaseTransport | None) -> str:
    """CN of the certificate that the other end has shown; empty if it is gone."""
    certificate: Any = transport.get_extra_info("peercert") if transport else None
    names = [
        value for rdn in (certificate or {}).get("subject", ()) for key, value in rdn if key == "commonName"
    ]
    return names[0] if names else ""


def peer_serial(transport: asyncio.BaseTransport | None) -> int | None:
    """Serial number of that certificate; None if the other end is gone."""
    certificate: Any = transport.get_extra_info("peercert") if transport else None
    return int(certificate["serialNumber"], 16) if certificate else None


class _Connection:
    """One accepted socket; closed by us, or by asyncio once that has got it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.handed_over = False
        self.cn: str | None = None
        """None before the end of the handshake."""
        self.handshake: asyncio.Task[None] | None = None

    @property
    def open(self) -> bool:
        return self.sock.fileno() >= 0

    def abandon(self) -> None:
        """Before the end of the handshake."""
        assert self.handshake is not None
        self.handshake.cancel()
        if not self.handed_over:
            self.sock.close()


class TlsListener:
    """Serves aiohttp's protocols, made by ``factory``; :meth:`middleware` has to be the application's."""

    def __init__(
        self,
        factory: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext,
        *,
        max_connections: int = MAX_CONNECTIONS,
        handshake_s: float = HANDSHAKE_S,
        idle_s: float = IDLE_S,
    ) -> None:
        self._factory = factory
        self._tls = tls
        self._max_connections = max_connections
        self._handshake_s = handshake_s
        self._idle_s = idle_s
        self._connections: list[_Connection] = []
        """The oldest first; some have been closed meanwhile."""
        self._deadlines: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}
        self._listeners: list[tuple[socket.socket, asyncio.Task[None]]] = []

    def listen(self, host: str, port: int) -> int:
        """Listen on one more address; return the port (0: any).  Raises ConfigError if it is taken."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except OSError as exc:
            reason = os.strerror(exc.errno or 0)  # the text of create_server() tells the address once more
            raise ConfigError(f"cannot listen on TCP port {port} of {host}: {reason}") from exc
        listener.setblocking(False)
        self._listeners.append((listener, asyncio.get_running_loop().create_task(self._accept(listener))))
        taken: int = listener.getsockname()[1]
        return taken

    async def close(self) -> None:
        """Stop listening; connections whose handshake is not over end, the others are the factory's."""
        for listener, task in self._listeners:
            task.cancel()
            await asyncio.wait([task])
            listener.close()
        self._listeners.clear()
        for connection in self._connections:
            if connection.open and connection.cn is None:
                connection.abandon()
        self._connections.clear()
        for timer in self._deadlines.values():
            timer.cancel()
        self._deadlines.clear()

    @web.middleware
    async def middleware(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """No deadline while a request is served: handlers have their own."""
        if timer := self._deadlines.pop(request.protocol, None):
            timer.cancel()
        try:
            return await handler(request)
        finally:
            self._arm(request.protocol)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, _ = await loop.sock_accept(listener)
            except ConnectionError:
                continue
            except OSError as exc:
                log.error("cannot accept a connection: %s", exc.strerror)
                await asyncio.sleep(_NO_RESOURCES_S)  # there is no event for a file descriptor that gets free
                continue
            self._admit(sock)

    def _admit(self, sock: socket.socket) -> None:
        self._connections = [connection for connection in self._connections if connection.open]
        if len(self._connections) >= self._max_connections:
            strangers = [connection for connection in self._connections if connection.cn is None]
            if not strangers:
                sock.close()
                return
            strangers[0].abandon()
            self._connections.remove(strangers[0])
        connection = _Connection(sock)
        self._connections.append(connection)
        connection.handshake = asyncio.get_running_loop().create_task(self._shake_hands(connection))

    async def _shake_hands(self, connection: _Connection) -> None:
        connection.handed_over = True
        try:
            transport, protocol = await asyncio.get_running_loop().connect_accepted_socket(
                self._factory,
                connection.sock,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake_s,
                ssl_shutdown_timeout=_GOODBYE_S,
            )
        except OSError as exc:  # also what TLS finds wrong, and time-outs
            log.debug("a handshake fails: %s", exc)
            return
        connection.cn = peer_cn(transport)
        of_peer = Counter(other.cn for other in self._connections if other.open)
        if of_peer[connection.cn] > MAX_PER_PEER:
            transport.abort()
        else:
            self._arm(protocol)

    def _arm(self, protocol: asyncio.BaseProtocol) -> None:
        loop = asyncio.get_running_loop()
        self._deadlines[protocol] = loop.call_later(self._idle_s, self._expire, protocol)

    def _expire(self, protocol: asyncio.BaseProtocol) -> None:
        del self._deadlines[protocol]
        transport = getattr(protocol, "transport", None)
        if transport is not None:
            transport.abort()
