"""What a node tells of its distances: the best it has, not through the asker, and peers that are known to
work."""

import random
from ipaddress import ip_address

from re6st_core.address import Endpoint, Protocol
from re6st_core.distance_wire import NO_ROUTE, DistanceQuestion, tag
from re6st_core.prefix import Prefix
from re6stnet.engine.distances import Distances
from re6stnet.engine.messages import PeerSeen, RouteChange, TunnelRecord
from re6stnet.engine.negotiation import Negotiator
from re6stnet.engine.peers import PeerBook
from re6stnet.engine.routes import RouteTable
from re6stnet.engine.scouting import ACCEPTED

OWN, NEAR, FAR, LOST = (Prefix(16, n) for n in range(4))


def places(last: int, *protocols: Protocol) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(ip_address(f"192.0.2.{last}"), 1194, p) for p in protocols or Protocol)


class Teller:
    def __init__(self) -> None:
        rng = random.Random(1)
        self.book, self.routes = PeerBook(OWN), RouteTable()
        self.tunnels = Negotiator(OWN, self.book, rng=rng, new_nonce=lambda: "0" * 32)
        for peer in (NEAR, FAR):
            self.tunnels.adopt(TunnelRecord(peer.cn, peer, True, "wireguard", 1400), now=0)
        self.distances = Distances(OWN, self.tunnels, self.book, self.routes, rng=rng)

    def route(
        self, destination: Prefix, through: Prefix, metric: int | None, *, installed: bool = False
    ) -> None:
        change = RouteChange(destination, through.cn, metric, installed)
        self.distances.turned(self.routes.apply([change]))

    def tell(self, *destinations: Prefix, asker: Prefix | None = None) -> tuple[int, ...]:
        question = DistanceQuestion(b"8 octets", tuple(map(tag, destinations)))
        answer = self.distances.answer(question, asker)
        assert answer.nonce == question.nonce
        return answer.metrics


def test_each_metric_is_the_best_and_unknown_tags_have_no_route() -> None:
    teller = Teller()
    teller.route(FAR, NEAR, 300)
    teller.route(FAR, FAR, 100, installed=True)
    assert teller.tell(FAR, OWN, LOST) == (100, 0, NO_ROUTE)


def test_the_peer_of_a_tunnel_is_told_what_is_left_without_it() -> None:
    teller = Teller()
    teller.route(FAR, NEAR, 300)
    teller.route(FAR, FAR, 100, installed=True)
    assert teller.tell(FAR, asker=FAR) == (300,)
    assert teller.tell(FAR, asker=NEAR) == (100,)


def test_what_is_unreachable_again_has_no_route() -> None:
    teller = Teller()
    teller.route(FAR, FAR, 100, installed=True)
    teller.route(FAR, FAR, None)
    assert teller.tell(FAR) == (NO_ROUTE,)


def test_peers_are_named_that_have_not_failed_and_are_not_hearsay() -> None:
    teller = Teller()
    teller.book.learn(
        [
            PeerSeen(NEAR, places(1)),
            PeerSeen(FAR, places(2, Protocol.UDP)),
            PeerSeen(Prefix(16, 9), places(9, Protocol.TCP)),
            PeerSeen(Prefix(16, 8), places(8)),
        ]
    )
    teller.book.hear([PeerSeen(Prefix(16, 7), places(7))])
    teller.book.failed(Prefix(16, 8), now=0, rng=random.Random(1))
    question = DistanceQuestion(bytes(8), (1,))
    named = {p.prefix: p.tcp for p in teller.distances.answer(question, None).peers}
    assert named == {NEAR: True, FAR: False}
    assert {p.prefix for p in teller.distances.answer(question, NEAR).peers} == {FAR}


def test_it_says_whether_there_is_room() -> None:
    teller = Teller()
    question = DistanceQuestion(bytes(8), (1,))
    assert teller.distances.answer(question, None).room
    teller.tunnels.accepted = ACCEPTED  # many have come in this round
    assert not teller.distances.answer(question, None).room
    teller.tunnels.accepted = teller.tunnels.max_clients = 0
    assert not teller.distances.answer(question, None).room
