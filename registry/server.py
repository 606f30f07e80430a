"""``re6st-registry run``: put the parts together, listen, keep house, stop when told."""

import asyncio
import contextlib
import errno
import logging
import random
import signal
import socket
import ssl
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

from aiohttp import web

from re6st_core.errors import ConfigError, Re6stError
from re6st_core.identity import fingerprint
from registry.app import CA, SERVER, open_registry
from registry.domain.sampling import RECENT
from registry.http.context import Context
from registry.http.guard import Guard
from registry.http.presence import Presence
from registry.http.private import Api
from registry.http.public import public_app
from registry.http.relay import Hub
from registry.http.watch import Watch
from registry.memory import keep_small
from registry.service import Registry
from registry.tls import renew_authority, renew_server_certificate, server_context

_log = logging.getLogger(__name__)
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104  # a registry is there to be reached
HOUSEKEEPING = timedelta(days=1)
RETRY = timedelta(minutes=5)
HANDSHAKE_S = 10


def run(directory: Path, listen: tuple[str, ...] = EVERYWHERE) -> None:
    """Serve until SIGTERM or SIGINT.  Raises ConfigError, CertificateError, RejectedError."""
    keep_small()
    asyncio.run(_serve(directory, listen))


async def _serve(directory: Path, listen: tuple[str, ...]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    registry = open_registry(directory)
    server = Server(directory, registry)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(server.close)
        await server.start(listen)
        _log.info("serving %s at %s", registry.settings.network, registry.settings.url)
        housekeeping = asyncio.create_task(server.keep_house())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([housekeeping, stopping], return_when=asyncio.FIRST_COMPLETED)
        if housekeeping.done():
            await housekeeping  # only a bug ends it
        housekeeping.cancel()
        _log.info("stopping")


class Server:
    """Listeners and everything behind them."""

    def __init__(self, directory: Path, registry: Registry) -> None:
        self._directory = directory
        self._registry = registry
        self._context = Context(registry)
        self._presence = Presence()
        self._hub = Hub(self._context, self._presence)
        self._watch = Watch(self._context, self._hub, random.Random())  # noqa: S311  # whom to tell first, no secret
        self._watching: asyncio.Task[None] | None = None
        self._runners: list[web.AppRunner] = []
        self._listeners: list[asyncio.Server] = []
        self._tls: ssl.SSLContext | None = None

    async def start(self, listen: tuple[str, ...]) -> None:
        """Open the ports.  Raises ConfigError if one is taken."""
        now = self._context.now()
        await self._context.run(self._registry.start, now)
        await self._renew_authority()
        await self._context.run(renew_server_certificate, self._registry, self._directory / SERVER, now)
        self._presence.restore(await self._context.run(self._registry.nodes_seen_since, now - RECENT))
        try:
            self._tls = server_context(self._directory / SERVER, self._directory / CA)
        except OSError as exc:  # SSLError too
            raise ConfigError(f"{self._directory / SERVER}: {exc}: remove it, to get a new one") from exc
        settings = self._registry.settings
        api = Api(self._context, self._presence, self._hub, self._watch, random.Random())  # noqa: S311  # which peers, no secret
        # First HTTPS: who sees the CA certificate may enrol at once.
        await self._listen(api.app(), settings.https_port, listen, self._tls)
        await self._listen(public_app(self._context), settings.port, listen, None)
        self._watching = asyncio.create_task(self._watch.run())

    async def _renew_authority(self) -> None:
        path = self._directory / CA
        if await self._context.run(renew_authority, self._registry, path, self._context.now()):
            certificate = self._registry.authority.certificate
            _log.warning(
                "the CA has a new certificate, valid until %s, which nodes will have from us: %s",
                f"{certificate.not_valid_after_utc:%Y-%m-%d}",
                fingerprint(certificate),
            )

    async def keep_house(self) -> None:
        """Clean up and renew our certificate every day; on failure try again soon."""
        while True:
            now = self._context.now()
            try:
                await self._context.run(self._registry.clean_up, now)
                await self._renew_authority()
                path = self._directory / SERVER
                await self._context.run(renew_server_certificate, self._registry, path, now)
                assert self._tls is not None  # start() has made it
                self._tls.load_verify_locations(self._directory / CA)
                self._tls.load_cert_chain(path)  # for new connections
                pause = HOUSEKEEPING
            except (Re6stError, OSError) as exc:
                _log.error("housekeeping failed, next try in %s: %s", RETRY, exc)
                pause = RETRY
            await asyncio.sleep(pause.total_seconds())

    async def close(self) -> None:
        """Stop listening, send everybody away."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        for listener in self._listeners:
            listener.close()
        await self._hub.close()
        for runner in self._runners:
            await runner.cleanup()
        self._context.close()
        self._registry.database.close()

    async def _listen(
        self, app: web.Application, port: int, listen: tuple[str, ...], tls: ssl.SSLContext | None
    ) -> None:
        guard = Guard()
        app.middlewares.insert(0, guard.middleware)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
        await runner.setup()
        self._runners.append(runner)
        assert runner.server is not None  # setup() has made it
        handshake_s = HANDSHAKE_S if tls else None
        for address in listen:
            bound = _bind(address, port, optional=listen == EVERYWHERE)
            if bound:
                loop = asyncio.get_running_loop()
                factory = guard.watched(runner.server)
                listener = await loop.create_server(
                    factory, sock=bound, ssl=tls, backlog=1024, ssl_handshake_timeout=handshake_s
                )
                self._listeners.append(listener)
        if not self._listeners:
            raise ConfigError("this host has neither IPv4 nor IPv6")


def _bind(address: str, port: int, *, optional: bool) -> socket.socket | None:
    """A bound socket; None if ``optional`` and the host does not have this family.  Raises ConfigError."""
    try:
        family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    except ValueError as exc:
        raise ConfigError(f"--listen {address}: not an IP address") from exc
    try:
        bound = socket.socket(family, socket.SOCK_STREAM)
    except OSError as exc:
        if optional:
            return None
        raise ConfigError(f"{address}: {exc.strerror}") from exc
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((address, port))
    except OSError as exc:
        bound.close()
        if optional and exc.errno == errno.EADDRNOTAVAIL:
            return None
        raise ConfigError(f"cannot listen on {address} port {port}: {exc.strerror}") from exc
    bound.setblocking(False)
    return bound
