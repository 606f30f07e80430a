"""What all handlers share: the registry in its own thread, the clock, and who is calling."""

import asyncio
import ipaddress
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import ParamSpec, TypeVar

from aiohttp import web

from re6st_core.errors import CertificateError
from re6st_core.identity import Identity, load_certificate_untrusted, verify_node_certificate
from re6st_core.json_wire import decode_json_untrusted
from re6st_core.registry_wire import MAX_BODY
from registry.domain.ratelimit import RateLimit
from registry.errors import TooManyError
from registry.publication import Publication
from registry.service import Registry

T = TypeVar("T")
P = ParamSpec("P")
BODY_TIMEOUT_S = 20
CALLS, CALL_INTERVAL_S = 60, 2.0
"""Requests of one member at once, then one after another; a node in trouble asks four times a minute."""


class Context:
    """The registry, as asynchronous code calls it."""

    def __init__(self, registry: Registry, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.registry = registry
        self.now = now
        # One thread: SQLite serialises writers anyway, and none of this must ever hold up the event loop.
        self._thread = ThreadPoolExecutor(1, "database")
        self._calls = RateLimit(burst=CALLS, interval_s=CALL_INTERVAL_S)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a method of the registry in its thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: function(*args, **kwargs))

    async def published(self) -> Publication:
        """The newest signed documents, whoever made them."""
        now = self.now()
        fresh = self.registry.fresh(now)
        return await self.run(self.registry.published, now) if fresh is None else fresh

    async def member(self, request: web.Request, *, expired: bool = False) -> Identity:
        """Who is calling; ``expired`` accepts ended certificates.

        TLS has checked that the certificate is the CA's, and that the caller holds its key; dates are left
        to us, so that the answer says what is wrong.

        Raises HTTPUnauthorized, CertificateError, TooManyError.
        """
        der = _peer_certificate(request)
        if der is None:
            raise web.HTTPUnauthorized(reason="A node's certificate is needed")
        certificate = load_certificate_untrusted(der)
        now = self.now()
        if expired and now > certificate.not_valid_after_utc:
            now = certificate.not_valid_after_utc
        identity = verify_node_certificate(certificate, self.registry.authority.certificate, now=now)
        clock = asyncio.get_running_loop().time()
        if wait_s := self._calls.wait_s(identity.prefix, clock):
            raise TooManyError(f"too many requests of {identity.prefix}", wait_s)
        self._calls.take(identity.prefix, clock)
        if (await self.published()).is_revoked(identity.serial):
            raise CertificateError(f"the certificate of {identity.prefix} is revoked")
        return identity

    def close(self) -> None:
        """Finish what is under way."""
        self._thread.shutdown()


def _peer_certificate(request: web.Request) -> bytes | None:
    if request.transport is None:
        raise ConnectionResetError("the caller is gone")
    ssl_object = request.transport.get_extra_info("ssl_object")
    return None if ssl_object is None else ssl_object.getpeercert(binary_form=True)


async def read_json(request: web.Request, kind: type[T]) -> T:
    """The body, as a message of this type.  Raises WireError, TimeoutError, HTTPRequestEntityTooLarge."""
    async with asyncio.timeout(BODY_TIMEOUT_S):
        body = await request.read()
    return decode_json_untrusted(kind, body, max_size=MAX_BODY)


def caller_address(request: web.Request) -> tuple[str, int]:
    """Address and port at the other end of the connection."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if not peer:
        raise ConnectionResetError("the caller is gone")
    return peer[0], peer[1]


def caller_network(request: web.Request) -> str:
    """What limits count by: an IPv4 address, or an IPv6 /64, of which one caller has all addresses."""
    address = ipaddress.ip_address(caller_address(request)[0].partition("%")[0])
    return str(ipaddress.ip_network((address, 64 if address.version == 6 else 32), strict=False))
