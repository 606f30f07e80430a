"""HTTPS: enrolment for who has a token, everything else for members."""

import asyncio
import ipaddress
import logging
import random
from dataclasses import replace
from datetime import datetime

from aiohttp import web

from re6st_core.address import MAX_ENDPOINTS, Endpoint, Protocol, format_endpoints
from re6st_core.identity import Identity
from re6st_core.json_wire import encode_json
from re6st_core.registry_wire import (
    BOOTSTRAP,
    ENROL,
    MAX_BODY,
    OPENAPI,
    PARAMETERS,
    RELAY,
    RENEW,
    BootstrapPeer,
    BootstrapRequest,
    BootstrapResponse,
    CertificateResponse,
    EnrolRequest,
    RenewRequest,
)
from registry.domain.ratelimit import RateLimit
from registry.domain.sampling import Sighting, worth_storing
from registry.errors import BadRequestError, NotAllowedError, StoreFailedError, StoreFullError, TooManyError
from registry.http.context import Context, caller_address, caller_network, read_json
from registry.http.openapi import openapi_document
from registry.http.presence import Presence
from registry.http.problems import explain_errors
from registry.http.relay import Hub

_log = logging.getLogger(__name__)
SAMPLE = 8
"""Peers in a bootstrap answer."""
REFUSALS = 10
"""Refused enrolments at once from one address; then one in six seconds."""
ANONYMOUS = 20
"""Anonymous enrolments at once from one address; then one a minute."""


class Api:
    """Handlers of ``/api/v1``."""

    def __init__(self, context: Context, presence: Presence, hub: Hub, rng: random.Random) -> None:
        self._context = context
        self._presence = presence
        self._hub = hub
        self._rng = rng
        # Guessing a token of 120 bits is hopeless; the limit keeps the log and the database quiet.
        self._refusals = RateLimit(burst=REFUSALS, interval_s=6)
        self._anonymous = RateLimit(burst=ANONYMOUS, interval_s=60)
        self._openapi = encode_json(openapi_document())

    def app(self) -> web.Application:
        """The application for the HTTPS port."""
        app = web.Application(middlewares=[explain_errors], client_max_size=MAX_BODY)
        app.add_routes(
            [
                web.post(ENROL, self.enrol),
                web.post(RENEW, self.renew),
                web.get(PARAMETERS, self.parameters),
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
        limits = [self._refusals] if message.token is not None else [self._refusals, self._anonymous]
        if wait_s := max(limit.wait_s(caller, clock) for limit in limits):
            raise TooManyError(f"too many requests from {caller}", wait_s)
        if message.token is None:
            self._anonymous.take(caller, clock)
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
        return _json(CertificateResponse(certificate=held.pem))

    async def parameters(self, request: web.Request) -> web.Response:
        """Network parameters, signed by the CA."""
        await self._context.member(request)
        return web.Response(body=(await self._context.published()).signed, content_type="application/json")

    async def bootstrap(self, request: web.Request) -> web.Response:
        """Note where the caller is; tell it some peers."""
        context = self._context
        identity = await context.member(request)
        message = await read_json(request, BootstrapRequest)
        if len(message.endpoints) > MAX_ENDPOINTS:
            raise BadRequestError(f"more than {MAX_ENDPOINTS} endpoints")
        observed = _observed(request)
        await self._see(identity, message.endpoints, context.now())
        peers = await self._sample(identity)
        return _json(BootstrapResponse(observed=observed, peers=peers))

    async def relay(self, request: web.Request) -> web.StreamResponse:
        """Messages between members, over WebSocket."""
        return await self._hub.serve(request, await self._context.member(request))

    async def openapi(self, _request: web.Request) -> web.Response:
        """Description of all this."""
        return web.Response(body=self._openapi, content_type="application/json")

    async def _see(self, identity: Identity, endpoints: tuple[Endpoint, ...], now: datetime) -> None:
        """Remember a caller; in the database only if that says something new."""
        known = self._presence.sightings.get(identity.prefix)
        sighting = Sighting(identity.prefix, endpoints, identity.serial, now)
        if known:
            sighting = replace(sighting, stored=known.stored, stored_endpoints=known.stored_endpoints)
        if worth_storing(known, endpoints, now):
            try:
                text = format_endpoints(endpoints)
                await self._context.run(self._context.registry.see, identity.prefix, text, now)
                sighting = replace(sighting, stored=now, stored_endpoints=endpoints)
            except (StoreFailedError, StoreFullError) as exc:
                _log.warning("endpoints of %s are not stored: %s", identity.prefix, exc)
        self._presence.sightings.put(sighting)

    async def _sample(self, identity: Identity) -> tuple[BootstrapPeer, ...]:
        published = await self._context.published()
        peers = self._presence.sample(
            SAMPLE, caller=identity.prefix, published=published, now=self._context.now(), rng=self._rng
        )
        return tuple(peers)


def _observed(request: web.Request) -> Endpoint:
    host, port = caller_address(request)
    try:
        return Endpoint(ipaddress.ip_address(host), port, Protocol.TCP)
    except ValueError as exc:
        raise BadRequestError(f"your address is of no use to others: {exc}") from exc


def _json(message: object) -> web.Response:
    return web.Response(body=encode_json(message), content_type="application/json")
