"""The peers a node knows: where they can be reached, and when to try one again.  Pure and bounded."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from re6st_core.address import Endpoint, Protocol
from re6st_core.prefix import Prefix
from re6stnet.engine.messages import PeerSeen

MAX_PEERS = 512
FIRST_RETRY_S, LAST_RETRY_S = 3.0, 300.0
LONELY_RETRY_S = 20.0
"""The longest wait of a node that has hardly a tunnel: it has nothing better to try."""
CLOSED_S = 60.0
"""How long a peer that closed a working tunnel is left alone: it knows why, and offers when it returns."""
REVOKED_S = 86400.0
"""How long a peer whose certificate is revoked is not tried: it may get another one, and offers then."""
OFFENDED_S = 600.0
"""How long a peer that has announced what is not its own is left alone, and refused."""
UDP_FAILURE_S = 1800.0
"""How long a failure by UDP makes us use TCP towards the same peer."""


@dataclass(slots=True)
class KnownPeer:
    """One peer of the book."""

    prefix: Prefix
    endpoints: tuple[Endpoint, ...] = ()
    relayed: bool = False
    endpoints_known: bool = False
    """False: heard of only by its route."""
    hearsay: bool = False
    """Its endpoints were named by another peer, and are not known to be right."""
    failures: int = 0
    retry_at: float = 0.0
    udp_failed_at: float | None = None
    refused_until: float = 0.0

    def endpoint(self, protocol: Protocol) -> Endpoint | None:
        """The peer's preferred endpoint of this protocol."""
        return next((e for e in self.endpoints if e.protocol is protocol), None)

    def may_be_tried(self, now: float) -> bool:
        """Neither waited for nor, whatever was heard of it since, kept out."""
        return max(self.retry_at, self.refused_until) <= now

    def udp_works(self, now: float) -> bool:
        """Whether UDP is worth trying."""
        return self.udp_failed_at is None or now - self.udp_failed_at > UDP_FAILURE_S


class PeerBook:
    """At most ``MAX_PEERS`` peers; the one that failed most makes room for a new one."""

    def __init__(self, own: Prefix, usable: Callable[[Endpoint], bool] = lambda _endpoint: True) -> None:
        """``usable``: whether a tunnel may go there; others' endpoints are not trusted to be sane."""
        self._own = own
        self.usable = usable
        self._peers: dict[Prefix, KnownPeer] = {}
        self.last_retry_s = LAST_RETRY_S

    def __iter__(self) -> Iterator[KnownPeer]:
        return iter(self._peers.values())

    def __len__(self) -> int:
        return len(self._peers)

    def get(self, prefix: Prefix) -> KnownPeer:
        """The peer, added if new; our own prefix is never a peer (ValueError)."""
        if prefix == self._own:
            raise ValueError("a node is not its own peer")
        peer = self._peers.get(prefix)
        if peer is None:
            if len(self._peers) >= MAX_PEERS:
                worst = max(self._peers.values(), key=lambda p: (p.failures, p.hearsay))
                del self._peers[worst.prefix]
            peer = self._peers[prefix] = KnownPeer(prefix)
        return peer

    def learn(self, seen: Iterable[PeerSeen]) -> None:
        """Note what was heard; a peer that says where it is gets tried again at once."""
        for heard in seen:
            if heard.prefix == self._own:
                continue
            peer = self.get(heard.prefix)
            endpoints = tuple(filter(self.usable, heard.endpoints))
            if peer.endpoints != endpoints or not peer.endpoints_known:
                peer.endpoints, peer.endpoints_known = endpoints, True
                peer.retry_at, peer.udp_failed_at = 0.0, None
            peer.relayed, peer.hearsay = heard.relayed, False

    def hear(self, named: Iterable[PeerSeen]) -> None:
        """Note where peers are said to be of whom we do not know it better."""
        for heard in named:
            endpoints = tuple(filter(self.usable, heard.endpoints))
            if heard.prefix == self._own or not endpoints:
                continue
            peer = self.get(heard.prefix)
            if not peer.endpoints_known:
                peer.endpoints, peer.endpoints_known, peer.hearsay = endpoints, True, True

    def recheck(self) -> None:
        """What is usable has changed."""
        for peer in self:
            endpoints = tuple(filter(self.usable, peer.endpoints))
            if endpoints != peer.endpoints:
                peer.endpoints, peer.endpoints_known = endpoints, bool(endpoints)

    def doubt(self, prefix: Prefix) -> None:
        """Nobody answers there: what was only said is forgotten."""
        peer = self._peers.get(prefix)
        if peer is not None and peer.hearsay:
            peer.endpoints, peer.endpoints_known, peer.hearsay = (), False, False

    def failed(self, prefix: Prefix, *, now: float, rng: random.Random) -> None:
        """Wait before trying this peer again: twice as long each time, spread by chance."""
        peer = self.get(prefix)
        delay_s = min(FIRST_RETRY_S * 2.0**peer.failures, self.last_retry_s)
        peer.failures = min(peer.failures + 1, 16)
        peer.retry_at = now + delay_s * rng.uniform(0.75, 1.25)

    def hope(self, *, now: float, rng: random.Random) -> None:
        """The network is back: whoever failed while it was not may be tried soon, not all at once."""
        for peer in self:
            if peer.failures:
                peer.failures = 1
                peer.retry_at = min(peer.retry_at, now + rng.uniform(0.0, FIRST_RETRY_S))

    def closed(self, prefix: Prefix, *, now: float, rng: random.Random) -> None:
        """The peer has ended a working tunnel."""
        self.get(prefix).retry_at = now + CLOSED_S * rng.uniform(0.75, 1.25)

    def revoked(self, prefix: Prefix, *, now: float) -> None:
        """The peer's certificate must not be accepted any more."""
        self.get(prefix).retry_at = now + REVOKED_S

    def offended(self, prefix: Prefix, *, now: float) -> None:
        """The peer has announced what is not its own."""
        peer = self.get(prefix)
        peer.retry_at = peer.refused_until = now + OFFENDED_S

    def succeeded(self, prefix: Prefix) -> None:
        """A tunnel to this peer works."""
        peer = self.get(prefix)
        peer.failures, peer.retry_at, peer.hearsay = 0, 0.0, False
