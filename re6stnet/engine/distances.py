"""What a node tells others that ask how far destinations are from it.  Pure.

It leaves out what it reaches through the one who asks: to a candidate that makes no difference, and the peer
of a tunnel, who knows our routes from Babel, learns what we would have without it.
"""

import random
from collections.abc import Iterable

from re6st_core.address import Protocol
from re6st_core.distance_wire import NO_ROUTE, DistanceAnswer, DistanceQuestion, NamedPeer, tag
from re6st_core.prefix import Prefix
from re6stnet.engine.negotiation import Negotiator
from re6stnet.engine.peers import KnownPeer, PeerBook
from re6stnet.engine.routes import RouteTable
from re6stnet.engine.scouting import ACCEPTED

NAMED = 32
"""Peers named in an answer, as far as they fit in it."""


class Distances:
    """Of one node."""

    def __init__(
        self, own: Prefix, tunnels: Negotiator, peers: PeerBook, routes: RouteTable, *, rng: random.Random
    ) -> None:
        self._own = own
        self._tunnels = tunnels
        self._peers = peers
        self._routes = routes
        self._rng = rng
        self._tagged: dict[int, Prefix] = {}

    def turned(self, destinations: Iterable[Prefix]) -> None:
        """These destinations have become reachable, or unreachable."""
        for destination in destinations:
            if self._routes.is_reachable(destination):
                self._tagged[tag(destination)] = destination
            else:
                self._tagged.pop(tag(destination), None)

    def answer(self, question: DistanceQuestion, asker: Prefix | None) -> DistanceAnswer:
        """What we tell the peer of a tunnel, or anybody else (None)."""
        tunnel = None if asker is None else self._tunnels.with_peer(asker)
        without = None if tunnel is None else tunnel.nonce
        own = tag(self._own)
        metrics = tuple(0 if each == own else self._metric(each, without) for each in question.tags)
        named = [found for peer in self._peers if (found := self._named(peer)) and peer.prefix != asker]
        peers = self._rng.sample(named, min(NAMED, len(named)))
        room = self._tunnels.has_room() and self._tunnels.accepted < ACCEPTED
        return DistanceAnswer(question.nonce, metrics, room, tuple(peers))

    def _metric(self, tagged: int, without: str | None) -> int:
        destination = self._tagged.get(tagged)
        return NO_ROUTE if destination is None else self._routes.metric(destination, without=without)

    @staticmethod
    def _named(peer: KnownPeer) -> NamedPeer | None:
        """Nobody is named who failed, or of whom we know by hearsay alone: an error must not go round for
        ever."""
        udp = peer.endpoint(Protocol.UDP)
        if udp is None or peer.failures or peer.hearsay:
            return None
        return NamedPeer(peer.prefix, udp, peer.endpoint(Protocol.TCP) is not None)
