"""HTTPS: enrolment for who has a token, everything else for members."""

import asyncio
import ipaddress
import logging
import random
from dataclasses import replace
from datetime import datetime

from aiohttp import web

from re6st_core.address import MAX_ENDPOINTS, Endpoint, Protocol, format_endpoints
from re6st_core.errors import CertificateError
from re6st_core.identity import Identity
from re6st_core.json_wire import encode_json
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import (
    BABEL_KEY,
    BOOTSTRAP,
    ENROL,
    MAX_BODY,
    OPENAPI,
    PARAMETERS,
    PARAMETERS_AFTER,
    RELAY,
    RENEW,
    BabelKeyResponse,
    BootstrapPeer,
    BootstrapRequest,
    BootstrapResponse,
    CertificateResponse,
    EnrolRequest,
    RenewRequest,
)
from registry.domain.ratelimit import RateLimit
from registry.domain.sampling import STORE_AGAIN, STORE_BURST, Sighting, worth_storing
from registry.errors import BadRequestError, NotAllowedError, StoreFailedError, StoreFullError, TooManyError
from registry.http.context import Context, caller_address, caller_network, read_json
from registry.http.openapi import openapi_document
from registry.http.presence import Presence, endpoints_of, fill
from registry.http.problems import explain_errors
from registry.http.relay import Hub
from registry.http.watch import Watch

_log = logging.getLogger(__name__)
SAMPLE = 8
"""Peers in a bootstrap answer."""
REFUSALS = 10
"""Refused enrolments at once from one address; then one in six seconds."""
ANONYMOUS = 20
"""Anonymous enrolments at once from one address; then one a minute."""
ANONYMOUS_ALL = 200
"""The same from everywhere; then one in ten seconds: to take all of 2**16 prefixes lasts a week."""


class Api:
    """Handlers of ``/api/v1``."""

    def __init__(
        self, context: Context, presence: Presence, hub: Hub, watch: Watch, rng: random.Random
    ) -> None:
        self._context = context
        self._watch = watch
        self._presence = presence
        self._hub = hub
        self._rng = rng
        # Guessing a token of 120 bits is hopeless; the limit keeps the log and the database quiet.
        self._refusals = RateLimit(burst=REFUSALS, interval_s=6)
        self._anonymous = RateLimit(burst=ANONYMOUS, interval_s=60)
        self._anonymous_all = RateLimit(burst=ANONYMOUS_ALL, interval_s=10)
        self._writes = RateLimit(burst=STORE_BURST, interval_s=STORE_AGAIN.total_seconds())
        self._openapi = encode_json(openapi_document())

    def app(self) -> web.Application:
        """The application for the HTTPS port."""
        app = web.Application(middlewares=[explain_errors], client_max_size=MAX_BODY)
        app.add_routes(
            [
                web.post(ENROL, self.enrol),
                web.post(RENEW, self.renew),
                web.get(PARAMETERS, self.parameters),
                web.get(PARAMETERS_AFTER + "{version:[0-9]{1,16}}", self.parameters_after),
                web.get(BABEL_KEY + "{epoch:[0-9]{1,10}}", self.babel_key),
                web.post(BOOTSTRAP, self.bootstrap),
                web.get(RELAY, self.relay),
                web.get(OPENAPI, self.openapi),
            ]
        )
        return app

    async def enrol(self, request: web.Request) -> web.Response:
        """Certificate for a new node."""
        caller, clock = caller_network(request), asyncio.get_running_loop().time()
        message = await read_json(request, EnrolRequest)
        if wait_s := self._refusals.wait_s(caller, clock):
            raise TooManyError(f"too many requests from {caller}", wait_s)
        if message.token is None:
            self._take_anonymous(caller, clock)
        context = self._context
        try:
            held = await context.run(context.registry.enrol, message, context.now())
        except (NotAllowedError, BadRequestError):
            self._refusals.take(caller, clock)
            raise
        return _json(CertificateResponse(certificate=held.pem))

    async def renew(self, request: web.Request) -> web.Response:
        """New certificate for a member; also for one whose certificate has ended."""
        context = self._context
        identity = await context.member(request, expired=True)
        message = await read_json(request, RenewRequest)
        held = await context.run(context.registry.renew, identity, message.csr, context.now())
        await self._see(identity)
        return _json(CertificateResponse(certificate=held.pem))

    async def parameters(self, request: web.Request) -> web.Response:
        """Network parameters, signed by the CA."""
        await self._see(await self._context.member(request))
        return web.Response(body=(await self._context.published()).signed, content_type="application/json")

    async def parameters_after(self, request: web.Request) -> web.Response:
        """The same, once there are newer ones than the caller has; 204: come again."""
        identity = await self._context.member(request)
        await self._see(identity)
        published = await self._watch.after(int(request.match_info["version"]), identity.prefix)
        if published is None:
            return web.Response(status=204)
        if published.is_revoked(identity.serial):
            raise CertificateError(f"the certificate of {identity.prefix} is revoked")
        return web.Response(body=published.signed, content_type="application/json")

    async def babel_key(self, request: web.Request) -> web.Response:
        """The key that authenticates Babel's packets."""
        context, epoch = self._context, int(request.match_info["epoch"])
        await self._see(await context.member(request))
        key = await context.run(context.registry.mac_key, epoch, context.now())
        return _json(BabelKeyResponse(epoch=epoch, key=key.hex()))

    async def bootstrap(self, request: web.Request) -> web.Response:
        """Note where the caller is; tell it some peers."""
        identity = await self._context.member(request)
        message = await read_json(request, BootstrapRequest)
        if len(message.endpoints) > MAX_ENDPOINTS:
            raise BadRequestError(f"more than {MAX_ENDPOINTS} endpoints")
        observed = _observed(request)
        await self._see(identity, message.endpoints)
        peers = await self._sample(identity.prefix)
        now = self._context.now().timestamp()
        return _json(BootstrapResponse(observed=observed, peers=peers, now=now))

    async def relay(self, request: web.Request) -> web.StreamResponse:
        """Messages between members, over WebSocket."""
        identity = await self._context.member(request)
        await self._see(identity)
        return await self._hub.serve(request, identity)

    async def openapi(self, _request: web.Request) -> web.Response:
        """Description of all this."""
        return web.Response(body=self._openapi, content_type="application/json")

    def _take_anonymous(self, caller: str, clock: float) -> None:
        """Count an anonymous enrolment.  Raises TooManyError."""
        limits = {caller: self._anonymous, "everywhere": self._anonymous_all}
        for who, limit in limits.items():
            if wait_s := limit.wait_s(who, clock):
                raise TooManyError(f"too many anonymous requests from {who}", wait_s)
        for who, limit in limits.items():
            limit.take(who, clock)

    async def _see(self, identity: Identity, endpoints: tuple[Endpoint, ...] | None = None) -> None:
        """Remember a caller, and where it can be reached if it said so; if that is news, on the disk too."""
        now, known = self._context.now(), self._presence.sightings.get(identity.prefix)
        if endpoints is None and known:
            endpoints = known.endpoints
        sighting = Sighting(identity.prefix, endpoints or (), identity.serial, now)
        if known:
            sighting = replace(sighting, stored=known.stored, stored_endpoints=known.stored_endpoints)
        if worth_storing(known, sighting.endpoints, now):
            stored = await self._store(identity.prefix, endpoints, now)
            if stored is not None:
                sighting = replace(sighting, endpoints=stored, stored=now, stored_endpoints=stored)
            elif endpoints is None:
                return  # what the database has is more than we know
        self._presence.sightings.put(sighting)

    async def _store(
        self, prefix: Prefix, endpoints: tuple[Endpoint, ...] | None, now: datetime
    ) -> tuple[Endpoint, ...] | None:
        """Write a call down; return where the node can be reached, None if it could not be written."""
        if self._writes.wait_s(prefix, now.timestamp()):
            return None
        self._writes.take(prefix, now.timestamp())
        text = None if endpoints is None else format_endpoints(endpoints)
        try:
            return endpoints_of(await self._context.run(self._context.registry.see, prefix, text, now))
        except (StoreFailedError, StoreFullError) as exc:
            _log.warning("the call of %s is not stored: %s", prefix, exc)
            return None

    async def _sample(self, caller: Prefix) -> tuple[BootstrapPeer, ...]:
        """Peers for a caller: who called lately, else who called last, which is better than nobody."""
        context, now = self._context, self._context.now()
        published = await context.published()
        peers = self._presence.sample(SAMPLE, caller=caller, published=published, now=now, rng=self._rng)
        if len(peers) < SAMPLE:
            try:
                nodes = await context.run(context.registry.last_seen, 2 * SAMPLE, now)
            except StoreFailedError as exc:
                _log.warning("older peers are not known: %s", exc)
            else:
                peers = fill(peers, nodes, SAMPLE, caller=caller)
        return tuple(peers)


def _observed(request: web.Request) -> Endpoint:
    host, port = caller_address(request)
    try:
        return Endpoint(ipaddress.ip_address(host), port, Protocol.TCP)
    except ValueError as exc:
        raise BadRequestError(f"your address is of no use to others: {exc}") from exc


def _json(message: object) -> web.Response:
    return web.Response(body=encode_json(message), content_type="application/json")
