"""Carry tunnel messages between nodes by the first way that works, as the node's messenger does.

1. back on the HTTPS request that brought the offer     2. HTTPS over the overlay, where there is a route
3. the registry's WebSocket, while we keep one          4. HTTPS to the peer's TCP endpoint
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from netns_lab.model import wire
from netns_lab.model.calls import Answer as CallAnswer
from netns_lab.model.calls import Call, Reply
from netns_lab.model.ways import OverlayWay, UnderlayWay
from re6st_core.address import Endpoint, Protocol
from re6st_core.json_wire import encode_json
from re6st_core.peer_wire import LIFETIME, Answer, Close, Drain, Message, Offer
from re6st_core.prefix import Prefix
from re6stnet.engine.messages import EndpointsUnknown, PeerSeen, PeersLearned, Received, Send, Undeliverable

if TYPE_CHECKING:
    from netns_lab.model.node import Node

CONNECT_S, TOTAL_S, CLOSE_S = 3.0, 10.0, 1.0
REPLY_S = 9.0
EPOCH = 1_800_000_000
"""Unix time at which the model begins."""


class Messenger:
    """One daemon's; ``alive`` until that dies."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._mesh = node.mesh
        self.alive = True
        self._replies: dict[str, Reply] = {}

    def _unix_time(self) -> float:
        return EPOCH + self._mesh.agenda.now + self._node.clock_offset_s

    # --- outgoing ---------------------------------------------------------------------------------------

    def send(self, command: Send, finished: Callable[[], None]) -> None:
        """``finished`` is called when nothing more will be tried."""
        expires = int(self._unix_time() + LIFETIME.total_seconds())
        message = dataclasses.replace(command.message, expires=expires)
        size = wire.envelope_size(message)
        if isinstance(message, Answer) and (reply := self._replies.pop(message.nonce, None)):
            reply((size, (message, self._node.serial)))
            finished()
            return
        peer = self._mesh.by_prefix.get(message.recipient)
        engine = self._node.engine
        assert engine is not None, "only a daemon sends"
        if peer is not None and engine.routes.is_reachable(message.recipient):

            def next_way() -> None:
                self._by_relay(message, size, command.endpoints, finished)

            way = OverlayWay(self._mesh, self._node, peer)
            self._ask(way, peer, message, finished=finished, failed=next_way)
        else:
            self._by_relay(message, size, command.endpoints, finished)

    def _by_relay(
        self, message: Message, size: int, endpoints: tuple[Endpoint, ...], finished: Callable[[], None]
    ) -> None:
        """A relay that is being connected is waited for if there is no other way."""

        def go_on() -> None:
            if self.alive:
                self._by_open_relay(message, size, endpoints, finished)

        if isinstance(message, Close | Drain) or any(e.protocol is Protocol.TCP for e in endpoints):
            go_on()
        else:
            self._node.registrar.when_connected(CONNECT_S, go_on)

    def _by_open_relay(
        self, message: Message, size: int, endpoints: tuple[Endpoint, ...], finished: Callable[[], None]
    ) -> None:
        node, registry = self._node, self._mesh.registry
        if not node.registrar.relay_connected:
            self._by_underlay(message, endpoints, finished)
            return
        frame = node.registrar.frame_size(size)
        self._mesh.ledger.add(node.name, "relay", frame)
        delay_s = node.relay_way_s()
        peer = self._mesh.by_prefix.get(message.recipient)
        if delay_s is None or peer is None:
            finished()  # a connection that is dead without our knowledge swallows it
            return

        def at_registry() -> None:
            if registry.away:
                return
            self._mesh.ledger.add(registry.host.name, "relay", frame)
            if not registry.forward(node, peer, lambda: peer.messenger.relayed(message, node.serial)):
                # What the registry says comes back the same way; then the control port is tried.
                self._mesh.agenda.after(
                    node.relay_way_s() or 0.0,
                    lambda: self._by_underlay(message, endpoints, lambda: None),
                )

        self._mesh.agenda.after(delay_s, at_registry)
        finished()

    def _by_underlay(
        self, message: Message, endpoints: tuple[Endpoint, ...], finished: Callable[[], None]
    ) -> None:
        if not self.alive:
            return
        target = next((e for e in endpoints if e.protocol is Protocol.TCP), None)
        peer = self._mesh.by_prefix.get(message.recipient)
        if target is None or peer is None:
            self._undeliverable(message, "not routed, not on the relay, no TCP endpoint")
            finished()
            return
        to = int(target.ip), target.port
        way = UnderlayWay(
            self._mesh, self._node, self._node.ephemeral_port(), to, lambda host: peer.serves(host, to[1])
        )

        def failed() -> None:
            self._undeliverable(message, "no answer at its control port")
            finished()

        self._ask(way, peer, message, finished=finished, failed=failed)

    def _undeliverable(self, message: Message, reason: str) -> None:
        if not isinstance(message, Close | Drain):
            self._node.post(Undeliverable(message.nonce, reason))

    def _ask(
        self,
        way: OverlayWay | UnderlayWay,
        peer: "Node",
        message: Message,
        *,
        finished: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        def done(answer: CallAnswer | str | None) -> None:
            if not self.alive:
                return
            if not isinstance(answer, tuple) or answer[1] == "bad request":
                failed()
                return
            if isinstance(answer[1], tuple):
                self._receive(*answer[1])
            finished()

        Call(
            self._mesh.agenda,
            self._mesh.rng,
            way,
            wire.envelope_size(message),
            CLOSE_S if isinstance(message, Close) else TOTAL_S,
            lambda reply: peer.messenger.handle(message, self._node.serial, reply),
            done,
            loss=self._mesh.underlay.weather.loss,
            connect_timeout_s=CONNECT_S,
        ).start()

    def ask_endpoints(self, prefix: Prefix) -> None:
        """Ask a routed peer where it can be reached."""
        peer = self._mesh.by_prefix.get(prefix)
        if peer is None:
            self._node.post(EndpointsUnknown(prefix))
            return

        def serve(reply: Reply) -> None:
            endpoints = peer.registrar.endpoints
            reply((len(encode_json({"endpoints": endpoints})), endpoints))

        def done(answer: CallAnswer | str | None) -> None:
            if not self.alive:
                return
            if isinstance(answer, tuple) and isinstance(answer[1], tuple):
                self._node.post(PeersLearned((PeerSeen(prefix, answer[1]),)))
            else:
                self._node.post(EndpointsUnknown(prefix))

        way = OverlayWay(self._mesh, self._node, peer)
        loss = self._mesh.underlay.weather.loss
        Call(self._mesh.agenda, self._mesh.rng, way, 0, TOTAL_S, serve, done, loss=loss).start()

    # --- incoming ---------------------------------------------------------------------------------------

    def handle(self, message: Message, serial: int, reply: Reply) -> None:
        """A message brought by HTTPS; an offer's bearer waits for the answer."""
        if not self._is_good(message, serial) or message.nonce in self._replies:
            reply((80, "bad request"))
            return
        if not isinstance(message, Offer):
            reply((0, None))
            self._node.post(Received(message, serial))
            return
        self._replies[message.nonce] = reply

        def too_late() -> None:
            if self._replies.get(message.nonce) is reply:
                del self._replies[message.nonce]
                reply((0, None))

        self._mesh.agenda.after(REPLY_S, too_late)
        self._node.post(Received(message, serial))

    def relayed(self, message: Message, serial: int) -> None:
        """A message that the registry handed over."""
        if self._node.registrar.relay_connected:
            self._receive(message, serial)

    def _receive(self, message: Message, serial: int) -> None:
        if self._is_good(message, serial):
            self._node.post(Received(message, serial))

    def _is_good(self, message: Message, serial: int) -> bool:
        """What ``decode_signed_untrusted`` looks at, besides signatures."""
        engine = self._node.engine
        if engine is None or not self.alive or message.recipient != self._node.prefix:
            return False
        left_s = message.expires - self._unix_time()
        return serial not in engine.parameters.revoked and 0 <= left_s <= 2 * LIFETIME.total_seconds()
