"""The one UDP port of a node: the STUN reflector, its own questions, and the WireGuard devices behind it.

A WireGuard tunnel works when an initiation and its response have really passed, through all NATs; until then
the initiation is repeated every five seconds.  What arrives is given to a device by its source, as the node's
nftables rules do: the newest claim to an address and port, else the oldest claim to the address.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from netns_lab.model import wire
from netns_lab.model.agenda import Agenda
from netns_lab.model.nat import Address
from netns_lab.model.underlay import Host, Underlay

RETRANSMIT_S = (0.2, 0.4, 0.8)
"""Of a STUN question, as the node's adapter does it."""
REKEY_S, REKEY_SPREAD_S = 5.0, 0.333
"""WireGuard repeats an initiation after this, and a random part of the other (its paper, section 6.4)."""


@dataclass(frozen=True, slots=True)
class StunRequest:
    """Asks where it comes from."""

    transaction: int


@dataclass(frozen=True, slots=True)
class StunAnswer:
    """Tells that."""

    transaction: int
    mapped: Address


@dataclass(frozen=True, slots=True)
class Handshake:
    """A WireGuard message; ``step`` 1: initiation, 2: response, 3: the first data, which confirms."""

    step: int
    sender_key: str
    recipient_key: str


@dataclass(eq=False, slots=True)
class Device:
    """One end of a WireGuard tunnel."""

    nonce: str
    key: str
    peer_key: str
    endpoint: Address
    claims: tuple[Address, int]
    """The exact source, and the address of any port."""
    session: bool = False


@dataclass(slots=True)
class _Question:
    server: Address
    done: Callable[[Address | None, float], None]
    sent: dict[int, float] = field(default_factory=dict)
    tries: int = 0


class UdpPort:
    """``up(nonce)``: a device got its session; ``reflects``: whether the daemon answers STUN."""

    def __init__(
        self,
        underlay: Underlay,
        agenda: Agenda,
        host: Host,
        port: int,
        *,
        rng: random.Random,
        ledger: wire.Ledger,
        up: Callable[[str], None],
    ) -> None:
        self._underlay = underlay
        self._agenda = agenda
        self.host = host
        self.port = port
        self._rng = rng
        self._ledger = ledger
        self._up = up
        self.reflects = True
        self.devices: dict[str, Device] = {}
        """By tunnel, in the order of their claims to addresses."""
        self._exact: dict[Address, Device] = {}
        self._questions: dict[int, _Question] = {}
        self._last_transaction = 0
        host.udp[port] = self._receive

    # --- STUN -------------------------------------------------------------------------------------------

    def ask(self, server: Address, done: Callable[[Address | None, float], None]) -> None:
        """Ask a reflector where we come from; ``done`` gets it and the RTT, or None after all repetitions."""
        self._repeat(_Question(server, done))

    def _repeat(self, question: _Question) -> None:
        if question.tries and not question.sent:
            return  # answered
        if question.tries == len(RETRANSMIT_S):
            for transaction in question.sent:
                self._questions.pop(transaction, None)
            question.done(None, 0.0)
            return
        self._last_transaction += 1
        question.sent[self._last_transaction] = self._agenda.now
        self._questions[self._last_transaction] = question
        self._send(question.server, StunRequest(self._last_transaction), "stun", wire.STUN_REQUEST)
        self._agenda.after(RETRANSMIT_S[question.tries], partial(self._repeat, question))
        question.tries += 1

    def _answered(self, answer: StunAnswer) -> None:
        question = self._questions.get(answer.transaction)
        if question is None:
            return
        rtt_s = self._agenda.now - question.sent[answer.transaction]
        for transaction in question.sent:
            self._questions.pop(transaction, None)
        question.sent.clear()
        question.done(answer.mapped, rtt_s)

    def forget_questions(self) -> None:
        """The daemon that asked is gone."""
        for question in self._questions.values():
            question.sent.clear()
        self._questions.clear()

    # --- WireGuard --------------------------------------------------------------------------------------

    def add(self, nonce: str, key: str, peer_key: str, endpoint: Address) -> None:
        """Make a device; it starts to shake hands at once."""
        device = Device(nonce, key, peer_key, endpoint, (endpoint, endpoint[0]))
        self.devices[nonce] = device
        self._exact[endpoint] = device
        self._initiate(device)

    def remove(self, nonce: str) -> None:
        """Remove a device, if there is one; older claims to its source count again."""
        device = self.devices.pop(nonce, None)
        if device is None:
            return
        self._underlay.release(self.host, "udp", self.port, device.endpoint)
        source = device.claims[0]
        if self._exact.get(source) is device:
            del self._exact[source]
            older = [d for d in self.devices.values() if d.claims[0] == source]
            if older:
                self._exact[source] = older[-1]

    def reaches(self, nonce: str) -> "tuple[Host, Address] | None":
        """Where packets of a device's session arrive now: the host and their source as seen there."""
        device = self.devices.get(nonce)
        if device is None or not device.session:
            return None
        arrived = self._underlay.way(self.host, "udp", self.port, device.endpoint, keep=True)
        return None if arrived is None else (arrived.host, arrived.source)

    def claimant(self, source: Address) -> Device | None:
        """The device that gets packets from this source."""
        exact = self._exact.get(source)
        if exact is not None:
            return exact
        return next((d for d in self.devices.values() if d.claims[1] == source[0]), None)

    def _initiate(self, device: Device) -> None:
        if device.session or self.devices.get(device.nonce) is not device or not self.host.alive:
            return
        self._say(device, 1, wire.WG_INITIATION)
        self._agenda.after(REKEY_S + self._rng.uniform(0.0, REKEY_SPREAD_S), partial(self._initiate, device))

    def _say(self, device: Device, step: int, size: int) -> None:
        message = Handshake(step, device.key, device.peer_key)
        self._send(device.endpoint, message, "wireguard", size)

    def _send(self, to: Address, payload: object, purpose: str, size: int) -> None:
        self._ledger.add(self.host.name, purpose, size)
        self._underlay.send(self.host, self.port, to, payload)

    def _receive(self, source: Address, payload: object) -> None:
        match payload:
            case StunRequest():
                if self.reflects:
                    answer = StunAnswer(payload.transaction, source)
                    self._send(source, answer, "stun", wire.STUN_ANSWER)
            case StunAnswer():
                self._answered(payload)
            case Handshake():
                device = self.claimant(source)
                if device and (device.key, device.peer_key) == (payload.recipient_key, payload.sender_key):
                    self._shake(device, source, payload.step)

    def _shake(self, device: Device, source: Address, step: int) -> None:
        if device.endpoint != source:
            self._underlay.release(self.host, "udp", self.port, device.endpoint)
            device.endpoint = source  # authenticated: the peer is where its packets come from
        if step == 1:
            self._say(device, 2, wire.WG_RESPONSE)
            return
        if step == 2:
            self._say(device, 3, wire.WG_KEEPALIVE)
        if not device.session:
            device.session = True
            self._up(device.nonce)
