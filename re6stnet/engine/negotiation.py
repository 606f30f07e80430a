"""Set up and tear down tunnels with peers: what each event of a tunnel's life makes us do.  Pure.

Transport: WireGuard where the peer's UDP endpoint answers our STUN request (or the peer has none and must
reach us), else OpenVPN over TCP, for which the initiator is the TCP client.  When both ends offer at once,
the offer of the smaller prefix stands.
"""

import random
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator

from re6st_core.address import Endpoint, Protocol
from re6st_core.peer_wire import MAX_MTU, OPENVPN, WIREGUARD, Answer, Close, Message, Offer
from re6st_core.prefix import Prefix
from re6stnet.engine.budgets import Budgets
from re6stnet.engine.messages import (
    Accuse,
    Command,
    Create,
    Created,
    NeighbourChanged,
    Originates,
    Prepare,
    Prepared,
    Remove,
    Send,
    TunnelRecord,
)
from re6stnet.engine.peers import KnownPeer, PeerBook
from re6stnet.engine.tunnel import NEGOTIATING, State, Step, Tunnel

MAX_TUNNELS = 40
"""Beyond this, babeld's cost is real (architecture §4)."""
MAX_HALF_OPEN = 16
"""Offers of others being answered at one time."""
OFFER_BURST, OFFER_EVERY_S = 3.0, 5.0
"""How many offers one peer may make at once, and how often after that: each costs us processes."""
MAX_NONCES = 4096
NONCE_LIFE_S = 180.0
"""How long a nonce is remembered against replays: longer than any message may live."""
ALTERNATIVES = 4


class Negotiator:
    """All tunnels of this node, by nonce; each method returns what the shell must do."""

    def __init__(
        self, own: Prefix, peers: PeerBook, *, rng: random.Random, new_nonce: Callable[[], str]
    ) -> None:
        self._own = own
        self._peers = peers
        self._rng = rng
        self._new_nonce = new_nonce
        self._tunnels: dict[str, Tunnel] = {}
        self._by_peer: dict[Prefix, Tunnel] = {}
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._budgets = Budgets(OFFER_BURST, OFFER_EVERY_S, most=MAX_NONCES)
        self.endpoints: tuple[Endpoint, ...] = ()
        self.max_clients = MAX_TUNNELS
        self.accepted = 0
        """Offers of others that were taken in this round of selection."""
        self.transports: Collection[str] = (WIREGUARD, OPENVPN)

    def __iter__(self) -> Iterator[Tunnel]:
        return iter(self._tunnels.values())

    def __len__(self) -> int:
        return len(self._tunnels)

    def get(self, nonce: str) -> Tunnel | None:
        """The tunnel of this name, if we have it."""
        return self._tunnels.get(nonce)

    def with_peer(self, peer: Prefix) -> Tunnel | None:
        """The tunnel with this peer, in whatever state."""
        return self._by_peer.get(peer)

    def active(self) -> list[Tunnel]:
        """Tunnels on which Babel hears the peer."""
        return [t for t in self if t.state is State.ACTIVE]

    def opened(self) -> int:
        """How many tunnels we opened ourselves, or are opening; silent ones may never come back."""
        return sum(t.initiator and t.state is not State.SILENT for t in self)

    @property
    def remembered(self) -> int:
        """How many nonces and budgets of peers are kept, against replays and floods."""
        return len(self._seen) + len(self._budgets)

    # --- our own offers ---------------------------------------------------------------------------------

    def open(self, peer: KnownPeer, *, now: float) -> list[Command]:
        """Begin a tunnel to a peer that we have none with; nothing if neither end can reach the other."""
        made_room = self._make_room(now)
        if len(self) >= MAX_TUNNELS:
            return made_room
        return [*made_room, *self._open(peer, now=now)]

    def _make_room(self, now: float) -> list[Command]:
        """What has been silent for longest goes when there are too many."""
        silent = [t for t in self if t.state is State.SILENT]
        if len(self) < MAX_TUNNELS or not silent:
            return []
        return self.drop(min(silent, key=lambda t: t.since), "silent, and its place is needed", now=now)

    def _open(self, peer: KnownPeer, *, now: float) -> list[Command]:
        udp, tcp = peer.endpoint(Protocol.UDP), peer.endpoint(Protocol.TCP)
        wireguard = WIREGUARD in self.transports
        if wireguard and udp is not None and peer.udp_works(now):
            return self._prepare_offer(peer.prefix, WIREGUARD, udp, now=now)
        if OPENVPN in self.transports and tcp is not None:
            return self._prepare_offer(peer.prefix, OPENVPN, tcp, now=now)
        if wireguard and udp is None and self.endpoints:
            return self._prepare_offer(peer.prefix, WIREGUARD, None, now=now)
        self._peers.failed(peer.prefix, now=now, rng=self._rng)
        return []

    def _prepare_offer(
        self, peer: Prefix, transport: str, endpoint: Endpoint | None, *, now: float
    ) -> list[Command]:
        tunnel = Tunnel(self._new_nonce(), peer, True, transport, State.PREPARING, now, endpoint)
        tunnel.server = endpoint if transport == WIREGUARD else None
        self._add(tunnel)
        return [Prepare(tunnel.nonce, peer, transport, tunnel.server)]

    def prepared(self, event: Prepared, *, now: float) -> list[Command]:
        """The local end is ready: make our offer, or create the tunnel we were offered."""
        tunnel = self._tunnels.get(event.tunnel)
        if tunnel is None or tunnel.state not in (State.PREPARING, State.ANSWERING):
            return []
        if tunnel.server is not None and event.source is None:
            return self._no_udp(tunnel, now=now)
        tunnel.public_key, tunnel.source, tunnel.rtt_us = event.public_key, event.source, event.rtt_us
        tunnel.step(Step.PREPARED, now=now)
        if not tunnel.initiator:
            # Not only once our device is there: the initiator makes its own meanwhile, and whoever is later
            # wakes the other, as both send at once.
            return [Create(tunnel.record), self._answer(tunnel)]
        offer = Offer(
            sender=self._own,
            recipient=tunnel.peer,
            nonce=tunnel.nonce,
            expires=0,
            transport=tunnel.transport,
            public_key=tunnel.public_key if tunnel.transport == WIREGUARD else "",
            endpoints=self.endpoints,
            source=tunnel.source,
            mtu=tunnel.mtu,
        )
        return [Send(offer, self._peers.get(tunnel.peer).endpoints)]

    def _no_udp(self, tunnel: Tunnel, *, now: float) -> list[Command]:
        """The peer's STUN reflector is silent: UDP does not get through, or the peer is down."""
        peer = self._peers.get(tunnel.peer)
        if not tunnel.initiator:
            return self._refuse(tunnel, "your UDP endpoint does not answer me", now=now)
        peer.udp_failed_at = now
        commands = self.drop(tunnel, "no answer by UDP", now=now, failed=False)
        return commands + self.open(peer, now=now)

    def answered(self, answer: Answer, serial: int, *, now: float) -> list[Command]:
        """The peer's reply to our offer."""
        tunnel = self._tunnels.get(answer.nonce)
        if tunnel is None or tunnel.peer != answer.sender or tunnel.state is not State.OFFERED:
            return []
        if answer.refusal:
            return self.drop(tunnel, f"refused: {answer.refusal}", now=now)
        if tunnel.transport == WIREGUARD:
            endpoint = tunnel.endpoint or answer.source
            if not answer.public_key or endpoint is None or self._is_foreign(endpoint, answer.sender):
                return self.drop(tunnel, "the answer lacks a key or a source of its own", now=now)
            tunnel.peer_key, tunnel.endpoint = answer.public_key, endpoint
        tunnel.serial = serial
        tunnel.mtu = min(tunnel.mtu, answer.mtu)
        tunnel.step(Step.ANSWERED, now=now)
        return [Create(tunnel.record)]

    # --- offers of others -------------------------------------------------------------------------------

    def offered(self, offer: Offer, serial: int, *, now: float) -> list[Command]:
        """A peer wants a tunnel: prepare our end, or refuse and name others."""
        if (same := self._tunnels.get(offer.nonce)) and same.peer == offer.sender:
            return []  # doubled on its way: the answer is or will be there
        if not self._remember(offer.nonce, now):
            return [self._answer(offer, refusal="I have seen this offer before")]
        if not self._budgets.spend(offer.sender, now=now):
            return [self._answer(offer, refusal="too many offers of yours")]
        commands: list[Command] = []
        existing = self._by_peer.get(offer.sender)
        if existing is not None:
            crossed = existing.initiator and existing.state in NEGOTIATING
            if crossed and self._own < offer.sender:
                return [self._answer(offer, refusal="my own offer to you is under way")]
            # A crossed offer that yields, or a peer that has lost what we still hold.
            commands += self.drop(existing, "the peer offers a new tunnel", now=now, failed=False)
        commands += self._make_room(now)
        used = offer.transport in self.transports
        refusal = self._reason_to_refuse(offer) if used else f"I use no {offer.transport}"
        if self._peers.get(offer.sender).refused_until > now:
            refusal = "you have announced a prefix that is not yours"
        if offer.endpoints and not any(map(self._peers.usable, offer.endpoints)):
            refusal = "I must not have a tunnel with any of your endpoints"
        if refusal:
            return [*commands, self._answer(offer, refusal=refusal)]
        tunnel = Tunnel(offer.nonce, offer.sender, False, offer.transport, State.ANSWERING, now)
        tunnel.peer_key, tunnel.serial = offer.public_key, serial
        tunnel.mtu = min(offer.mtu, MAX_MTU)
        if offer.transport == WIREGUARD and offer.source is not None:
            tunnel.endpoint = offer.source  # it has seen our reflector, so it reaches us
        elif offer.transport == WIREGUARD:
            # It cannot know where our packets come from: ask its reflector, and tell.
            tunnel.server = tunnel.endpoint = self._udp(offer)
        self._add(tunnel)
        self.accepted += 1
        return [*commands, Prepare(tunnel.nonce, tunnel.peer, tunnel.transport, tunnel.server)]

    def _reason_to_refuse(self, offer: Offer) -> str:
        half_open = sum(t.state in (State.ANSWERING, State.CREATING) and not t.initiator for t in self)
        if not self.has_room():
            return f"I hold {len(self)} tunnels"
        if half_open >= MAX_HALF_OPEN:
            return "too many offers at once"
        if offer.transport == OPENVPN and not any(e.protocol is Protocol.TCP for e in self.endpoints):
            return "I have no TCP endpoint"
        if offer.transport == WIREGUARD:
            endpoint = offer.source or self._udp(offer)
            if endpoint is None:
                return "your offer has no UDP endpoint"
            if self._is_foreign(endpoint, offer.sender):
                return f"{endpoint} is not yours"
        return ""

    def has_room(self) -> bool:
        """Whether one more offer of others would be accepted."""
        accepted = sum(not t.initiator and t.state is not State.SILENT for t in self)
        return len(self) < MAX_TUNNELS and accepted < self.max_clients

    def _udp(self, offer: Offer) -> Endpoint | None:
        """Where the offerer can be reached by UDP."""
        udp = (e for e in offer.endpoints if e.protocol is Protocol.UDP and self._peers.usable(e))
        return next(udp, None)

    def _is_foreign(self, endpoint: Endpoint, peer: Prefix) -> bool:
        """Whether packets from there cannot be this peer's: they would be taken from another tunnel."""
        return not self._peers.usable(endpoint) or any(
            t.peer != peer
            and t.endpoint is not None
            and (t.endpoint.ip, t.endpoint.port, t.endpoint.protocol)
            == (endpoint.ip, endpoint.port, endpoint.protocol)
            for t in self
        )

    def created(self, event: Created, *, now: float) -> None:
        """The device is there: Babel may hear the peer."""
        tunnel = self._tunnels.get(event.tunnel)
        if tunnel is not None:
            tunnel.step(Step.CREATED, now=now)

    def _answer(self, to: Offer | Tunnel, refusal: str = "") -> Send:
        tunnel = to if isinstance(to, Tunnel) else None
        recipient = to.peer if isinstance(to, Tunnel) else to.sender
        alternatives = [t.peer for t in self.active() if t.peer != recipient] if refusal else []
        return Send(
            Answer(
                sender=self._own,
                recipient=recipient,
                nonce=to.nonce,
                expires=0,
                refusal=refusal,
                alternatives=tuple(self._rng.sample(alternatives, min(ALTERNATIVES, len(alternatives)))),
                public_key=tunnel.public_key if tunnel and tunnel.transport == WIREGUARD else "",
                endpoints=self.endpoints,
                source=tunnel.source if tunnel else None,
                mtu=tunnel.mtu if tunnel else MAX_MTU,
            )
        )

    def _refuse(self, tunnel: Tunnel, reason: str, *, now: float) -> list[Command]:
        return [self._answer(tunnel, refusal=reason), *self.drop(tunnel, reason, now=now, tell=False)]

    # --- life and end -----------------------------------------------------------------------------------

    def neighbour(self, event: NeighbourChanged, *, now: float) -> bool:
        """Babel hears the peer, or no longer; True if that changes the tunnel's state."""
        tunnel = self._tunnels.get(event.tunnel)
        if tunnel is None:
            return False
        if event.rtt_us is not None:
            tunnel.rtt_us = event.rtt_us
        changed = tunnel.step(Step.HEARD if event.alive else Step.LOST, now=now)
        if changed and event.alive:
            self._peers.succeeded(tunnel.peer)
        return changed

    def drop(
        self, tunnel: Tunnel, reason: str, *, now: float, failed: bool = True, tell: bool = True
    ) -> list[Command]:
        """End a tunnel or an attempt.  ``failed``: wait before the next; ``tell``: the peer may hold it."""
        known_to_peer = tunnel.state not in (State.PREPARING, State.ANSWERING)
        tunnel.step(Step.FAILED, now=now)
        self.release(tunnel)
        if failed:
            self._peers.failed(tunnel.peer, now=now, rng=self._rng)
            if tunnel.transport == OPENVPN:
                # Neither way worked: the peer was down, which says nothing about UDP.
                self._peers.get(tunnel.peer).udp_failed_at = None
        commands: list[Command] = []
        if tell and known_to_peer:
            close: Message = Close(
                sender=self._own, recipient=tunnel.peer, nonce=tunnel.nonce, expires=0, reason=reason[:200]
            )
            commands.append(Send(close, self._peers.get(tunnel.peer).endpoints))
        return [*commands, Remove(tunnel.nonce, tunnel.peer, reason)]

    def release(self, tunnel: Tunnel) -> None:
        """Know no more of a tunnel, whose end is somebody else's business: its peer may have a new one."""
        del self._tunnels[tunnel.nonce]
        if self._by_peer.get(tunnel.peer) is tunnel:
            del self._by_peer[tunnel.peer]

    def closed(self, close: Close, *, now: float) -> list[Command]:
        """The peer has removed its end."""
        tunnel = self._tunnels.get(close.nonce)
        if tunnel is None or tunnel.peer != close.sender:
            return []
        worked = tunnel.state is State.ACTIVE
        if worked:
            self._peers.closed(tunnel.peer, now=now, rng=self._rng)
        reason = f"closed by the peer: {close.reason}"
        return self.drop(tunnel, reason, now=now, tell=False, failed=not worked)

    def broken(self, tunnel: Tunnel, reason: str, *, narrow: bool = False, now: float) -> list[Command]:
        """What carries the tunnel failed; where WireGuard cannot work, on this path or here, TCP is next."""
        impossible = tunnel.initiator and (narrow or tunnel.state in (State.PREPARING, State.CREATING))
        if impossible and tunnel.transport == WIREGUARD:
            self._peers.get(tunnel.peer).udp_failed_at = now
        return self.drop(tunnel, reason, now=now)

    def revoke(self, serials: Collection[int], *, now: float) -> list[Command]:
        """End the tunnels with nodes whose certificate is revoked."""
        commands: list[Command] = []
        for tunnel in [t for t in self if t.serial in serials]:
            commands += self.drop(tunnel, "its certificate is revoked", now=now)
            self._peers.revoked(tunnel.peer, now=now)
        return commands

    def originates(self, event: Originates, *, now: float) -> list[Command]:
        """End the tunnel with a peer that announces as its own what its certificate does not grant."""
        tunnel = self._tunnels.get(event.tunnel)
        if tunnel is None or tunnel.peer.contains(event.destination):
            return []
        reason = f"it originates {event.destination}, which its certificate does not grant"
        commands = self.drop(tunnel, reason, now=now)
        self._peers.offended(tunnel.peer, now=now)
        return [Accuse(tunnel.peer, event.destination), *commands]

    def leave_forbidden(self, *, now: float) -> list[Command]:
        """End the tunnels with peers none of whose endpoints may be used any more."""
        forbidden = []
        for tunnel in self:
            known = self._peers.get(tunnel.peer).endpoints or ((tunnel.endpoint,) if tunnel.endpoint else ())
            if known and not any(map(self._peers.usable, known)):
                forbidden.append(tunnel)
        reason = "no endpoint of the peer may be used any more"
        return [command for tunnel in forbidden for command in self.drop(tunnel, reason, now=now)]

    def timed_out(self, *, now: float) -> list[Command]:
        """End what has stayed too long in its state; a silent WireGuard attempt is repeated over TCP."""
        commands: list[Command] = []
        for tunnel in [t for t in self if t.deadline is not None and t.deadline <= now]:
            peer = self._peers.get(tunnel.peer)
            silent = tunnel.state is State.CONNECTING and tunnel.initiator and tunnel.transport == WIREGUARD
            silent = silent and not tunnel.answered
            if silent:
                peer.udp_failed_at = now
            commands += self.drop(tunnel, f"timed out while {tunnel.state.value}", now=now, failed=not silent)
        return commands

    def next_deadline(self) -> float | None:
        """Monotonic seconds of the first time-out."""
        return min((t.deadline for t in self if t.deadline is not None), default=None)

    def adopt(self, record: TunnelRecord, *, now: float) -> None:
        """Take over what an earlier daemon made."""
        self._add(Tunnel.adopted(record, now=now))

    def _add(self, tunnel: Tunnel) -> None:
        self._tunnels[tunnel.nonce] = tunnel
        self._by_peer[tunnel.peer] = tunnel

    def _remember(self, nonce: str, now: float) -> bool:
        """False if this nonce was used before."""
        while self._seen and (len(self._seen) >= MAX_NONCES or next(iter(self._seen.values())) < now):
            self._seen.popitem(last=False)
        if nonce in self._seen or nonce in self._tunnels:
            return False
        self._seen[nonce] = now + NONCE_LIFE_S
        return True
