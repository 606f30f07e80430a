"""A node's dealings with the registry, as its adapters do them: parameters, peers, own address, relay."""

from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from netns_lab.model import wire
from netns_lab.model.calls import Answer, Call, Reply
from netns_lab.model.ways import UnderlayWay
from re6st_core.address import Endpoint, Protocol
from re6st_core.json_wire import encode_json
from re6st_core.netparams import NetworkParameters
from re6st_core.registry_wire import BootstrapRequest, BootstrapResponse
from re6stnet.engine.messages import (
    BootstrapFailed,
    EndpointsChanged,
    PeerSeen,
    PeersLearned,
)

if TYPE_CHECKING:
    from netns_lab.model.node import Node

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0
REFRESH_S = 3600.0
TIMEOUT_S, CONNECT_S = 20.0, 8.0
"""Of the registry's client."""
NOTICED_S = 20.0, 30.0
"""How long a WebSocket whose path is broken looks alive: a heartbeat, and half of one until it is missed."""
Done = Callable[[Answer | str | None], None]
Serve = Callable[[Reply], None]


class Registrar:
    """Lives as long as one daemon does; what it began when that dies comes to nothing."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._mesh = node.mesh
        self.alive = True
        self.endpoints: tuple[Endpoint, ...] = self._endpoints_at(node.announced)
        self.relay_wanted = False
        self.relay_connected = False
        self._relay_delay_s = FIRST_RETRY_S
        self._relay_attempt = 0
        self._waiting: list[Callable[[], None]] = []
        self._refresh_delay_s = FIRST_RETRY_S

    def _endpoints_at(self, ip: int | None) -> tuple[Endpoint, ...]:
        if ip is None:
            return ()
        node, address = self._node, IPv4Address(ip)
        return tuple(Endpoint(address, node.port, p, node.settings.country) for p in Protocol)

    def _way(self) -> UnderlayWay:
        registry = self._mesh.registry
        return UnderlayWay(
            self._mesh, self._node, self._node.ephemeral_port(), registry.address, registry.accepts
        )

    def _call(self, way: UnderlayWay, size: int, serve: Serve, done: Done) -> None:
        def guarded(answer: Answer | str | None) -> None:
            if self.alive:
                done(answer)

        Call(
            self._mesh.agenda,
            self._mesh.rng,
            way,
            size,
            TIMEOUT_S,
            serve,
            guarded,
            loss=self._mesh.underlay.weather.loss,
            connect_timeout_s=CONNECT_S,
        ).start()

    def _spread(self, delay_s: float) -> float:
        return delay_s * self._mesh.rng.uniform(0.75, 1.25)

    # --- parameters -------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Ask for parameters now, and again in an hour; sooner while the registry does not answer."""
        if not self.alive:
            return
        registry, node = self._mesh.registry, self._node

        def serve(reply: Reply) -> None:
            reply(registry.signed_parameters(node) or (200, None))

        self._call(self._way(), 0, serve, self._refreshed)

    def _refreshed(self, answer: Answer | str | None) -> None:
        parameters = answer[1] if isinstance(answer, tuple) else None
        if isinstance(parameters, NetworkParameters):
            delay_s, self._refresh_delay_s = REFRESH_S, FIRST_RETRY_S
            self._node.learn_parameters(parameters)
        else:
            delay_s = self._refresh_delay_s
            self._refresh_delay_s = min(2 * delay_s, REFRESH_S)
        self._mesh.agenda.after(self._spread(delay_s), self.refresh)

    # --- bootstrap --------------------------------------------------------------------------------------

    def bootstrap(self) -> None:
        """Tell where we are; learn peers, and how the registry sees us."""
        registry, node, way = self._mesh.registry, self._node, self._way()
        endpoints = self.endpoints

        def serve(reply: Reply) -> None:
            assert way.arrived is not None, "the call has just arrived there"
            reply(registry.bootstrap(node, endpoints, way.arrived.source) or (200, None))

        size = len(encode_json(BootstrapRequest(endpoints=endpoints)))
        self._call(way, size, serve, self._bootstrapped)

    def _bootstrapped(self, answer: Answer | str | None) -> None:
        response = answer[1] if isinstance(answer, tuple) else None
        if not isinstance(response, BootstrapResponse):
            self._node.post(BootstrapFailed("no answer" if response is None else "refused"))
            return
        if self._node.announced is None:
            ip = int(response.observed.ip)
            endpoints = self._endpoints_at(ip) if ip == self._node.host.ip else ()
            if endpoints != self.endpoints:
                self.endpoints = endpoints
                self._node.post(EndpointsChanged(endpoints))
                self.bootstrap()  # so that the registry knows, too
                return
        seen = (PeerSeen(p.prefix, p.endpoints, p.relayed) for p in response.peers)
        self._node.post(PeersLearned(tuple(seen), by_registry=True))

    # --- the relay --------------------------------------------------------------------------------------

    def keep_relay(self, wanted: bool) -> None:
        """Start or stop keeping the WebSocket."""
        if wanted == self.relay_wanted:
            return
        self.relay_wanted = wanted
        self._relay_attempt += 1
        if wanted:
            self._relay_delay_s = FIRST_RETRY_S
            self._connect(self._relay_attempt)
        else:
            self.disconnect()

    def when_connected(self, within_s: float, go_on: Callable[[], None]) -> None:
        """Go on once the WebSocket is there, or was waited for in vain, or at once if none is wanted."""
        if self.relay_connected or not self.relay_wanted:
            go_on()
            return

        def in_vain() -> None:
            if go_on in self._waiting:
                self._waiting.remove(go_on)
                go_on()

        self._waiting.append(go_on)
        self._mesh.agenda.after(within_s, in_vain)

    def disconnect(self) -> None:
        """Close the WebSocket; the registry learns it."""
        if self.relay_connected:
            self.relay_connected = False
            self._mesh.registry.relayed.pop(self._node.index, None)

    def _connect(self, attempt: int) -> None:
        if not (self.alive and self.relay_wanted and attempt == self._relay_attempt):
            return
        registry, node = self._mesh.registry, self._node

        def serve(reply: Reply) -> None:
            reply((100, "refused" if registry.is_revoked(node) else "welcome"))

        def done(answer: Answer | str | None) -> None:
            if attempt != self._relay_attempt:
                return
            if isinstance(answer, tuple) and answer[1] == "welcome" and not registry.away:
                self.relay_connected = True
                registry.connect(node)
                waiting, self._waiting = self._waiting, []
                for go_on in waiting:
                    go_on()
            else:
                self._again(attempt)

        self._call(self._way(), 0, serve, done)

    def _again(self, attempt: int) -> None:
        self._mesh.agenda.after(self._spread(self._relay_delay_s), partial(self._connect, attempt))
        self._relay_delay_s = min(2 * self._relay_delay_s, LAST_RETRY_S)

    def broken(self) -> None:
        """The WebSocket has ended without our doing."""
        if self.relay_connected and self.alive:
            self.relay_connected = False
            self._again(self._relay_attempt)

    def watch(self) -> None:
        """Something changed on the underlay: a WebSocket whose path is broken ends, once that is noticed."""
        if self.relay_connected and self._way().one_way_s() is None:
            attempt = self._relay_attempt
            delay_s = self._mesh.rng.uniform(*NOTICED_S)

            def look() -> None:
                if attempt == self._relay_attempt and self._way().one_way_s() is None:
                    self.forgotten()
                    self.broken()

            self._mesh.agenda.after(delay_s, look)

    def forgotten(self) -> None:
        """The registry has noticed that nobody is at the other end any more."""
        if not self._node.registrar.relay_connected or self._node.registrar is self:
            self._mesh.registry.relayed.pop(self._node.index, None)

    def frame_size(self, envelope: int) -> int:
        """Bytes of a relayed message on the wire."""
        return wire.over_tls(envelope + wire.WEBSOCKET_FRAME + 40)
