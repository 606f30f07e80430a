"""Rounds of selection: what is asked of whom, and what comes of it, alone and in a mesh of engines."""

import random
from ipaddress import ip_address

from netns_lab.model.mesh import Mesh
from netns_lab.model.underlay import Weather
from re6st_core.address import Endpoint, Protocol
from re6st_core.distance_wire import DistanceAnswer, NamedPeer
from re6st_core.netparams import NetworkParameters
from re6st_core.prefix import Prefix
from re6stnet.engine.messages import (
    AskDistances,
    DistancesTold,
    PeerSeen,
    Probe,
    Probed,
    RouteChange,
    TunnelRecord,
)
from re6stnet.engine.negotiation import Negotiator
from re6stnet.engine.peers import PeerBook
from re6stnet.engine.rounds import ROUND_S, Rounds
from re6stnet.engine.routes import RouteTable
from re6stnet.engine.scouting import PROBES
from re6stnet.engine.selection import TunnelView, View

OWN, NEAR, FAR, NEW, NEWER = (Prefix(16, n) for n in range(5))
PARAMETERS = NetworkParameters(version=1)


def place(peer: Prefix) -> Endpoint:
    return Endpoint(ip_address(f"192.0.2.{peer.value + 1}"), 1194, Protocol.UDP)


class Node:
    """Tunnels to NEAR and FAR; NEW and NEWER are candidates, all far away."""

    def __init__(self) -> None:
        rng = random.Random(1)
        self.book, self.routes = PeerBook(OWN), RouteTable()
        self.tunnels = Negotiator(OWN, self.book, rng=rng, new_nonce=lambda: "0" * 32)
        for peer in (NEAR, FAR):
            self.tunnels.adopt(TunnelRecord(peer.cn, peer, True, "wireguard", 1400), now=0)
        for destination in (NEAR, FAR, NEW, NEWER):
            self.routes.apply([RouteChange(destination, NEAR.cn, 900, True)])
            self.routes.apply([RouteChange(destination, FAR.cn, 950)])
        self.book.learn([PeerSeen(peer, (place(peer),)) for peer in (NEW, NEWER)])
        self.rounds = Rounds(OWN, PARAMETERS, self.tunnels, self.book, self.routes, rng=rng)
        views = tuple(TunnelView(p.cn, p, True, True, True, False, 2, True) for p in (NEAR, FAR))
        self.view = View(views, (NEW, NEWER), 2)

    def ask(self) -> AskDistances:
        (probe,) = self.rounds.begin(self.view, now=0)
        assert isinstance(probe, Probe)
        assert dict(probe.targets) == {NEW: place(NEW), NEWER: place(NEWER)}
        probed = Probed(((NEW, 10_000), (NEWER, None)))
        (question,) = self.rounds.probed(probed, self.view, now=1)
        assert isinstance(question, AskDistances)
        return question

    def tell(self, *answers: tuple[Prefix, DistanceAnswer]) -> None:
        self.rounds.told(DistancesTold(answers), self.view, now=2)


def answer(question: AskDistances, metric: int, peers: tuple[NamedPeer, ...] = ()) -> DistanceAnswer:
    return DistanceAnswer(bytes(8), (metric,) * len(question.tags), True, peers)


def test_a_round_begins_in_time_and_again() -> None:
    node = Node()
    assert node.rounds.next_deadline() is None
    node.rounds.start(now=0)
    first = node.rounds.next_deadline()
    assert first is not None
    assert not node.rounds.is_due(first - 1)
    node.rounds.begin(node.view, now=first)
    again = node.rounds.next_deadline()
    assert again is not None
    assert 0.8 * ROUND_S < again - first < 1.2 * ROUND_S


def test_who_answers_the_probe_is_asked_and_so_are_peers_of_our_tunnels() -> None:
    node = Node()
    question = node.ask()
    assert set(question.peers) == {NEW, NEAR, FAR}
    assert len(question.tags) == 4


def test_what_is_better_for_both_ends_takes_the_place_of_what_is_missed_least() -> None:
    node = Node()
    question = node.ask()
    node.tell((NEW, answer(question, 50)), (NEAR, answer(question, 40)), (FAR, answer(question, 40)))
    (swap,) = node.rounds.swaps
    assert swap.peer == NEW
    node.rounds.began(swap, "new", now=3)
    assert not node.rounds.was_drawn("new")
    assert node.rounds.was_drawn(NEAR.cn)


def test_answers_that_do_not_fit_the_question_or_come_unasked_do_nothing() -> None:
    node = Node()
    node.tell((NEW, DistanceAnswer(bytes(8), (1, 2))))
    node.ask()
    node.tell((NEW, DistanceAnswer(bytes(8), (1,), True)), (FAR, DistanceAnswer(bytes(8), (1,))))
    assert not node.rounds.swaps


def test_who_is_silent_is_not_asked_again_at_once() -> None:
    node = Node()
    node.ask()
    node.tell()
    (question,) = node.rounds.begin(node.view, now=ROUND_S)
    assert isinstance(question, AskDistances)
    assert NEW not in question.peers


def test_peers_are_heard_of_only_if_there_is_a_route_to_them() -> None:
    node = Node()
    question = node.ask()
    far, unknown = (NamedPeer(p, place(p), False) for p in (FAR, Prefix(16, 99)))
    node.tell((NEW, answer(question, 9000, (far, unknown))))
    assert {p.prefix for p in node.book if p.hearsay} == {FAR}


def test_hearsay_that_does_not_answer_is_forgotten() -> None:
    node = Node()
    node.book.hear([PeerSeen(FAR, (place(FAR),))])
    node.rounds.probed(Probed(((FAR, None),)), node.view, now=0)
    assert not node.book.get(FAR).endpoints_known


def test_of_many_candidates_some_are_probed() -> None:
    node = Node()
    peers = [Prefix(16, 100 + n) for n in range(100)]
    node.book.learn([PeerSeen(peer, (place(NEW),)) for peer in peers])
    (probe,) = node.rounds.begin(View(node.view.tunnels, tuple(peers), 2), now=0)
    assert isinstance(probe, Probe)
    assert len(probe.targets) == PROBES


def test_in_a_mesh_of_engines_ways_become_nearly_the_best_there_are() -> None:
    mesh = Mesh(seed=3, client_count=4, weather=Weather())
    nodes = [mesh.add() for _ in range(24)]

    def stretch() -> float:
        """Mean over all pairs of the way's delay, by that of the best way by one relay or none."""
        far = mesh.underlay.one_way_s
        ratios = []
        for one in nodes:
            for other in nodes:
                path = mesh.path(one, other) if one is not other else None
                if path is not None:
                    a, b = one.host.site, other.host.site
                    best = min(
                        far(a, b),
                        *(far(a, v.host.site) + far(v.host.site, b) for v in nodes if v not in path),
                    )
                    ratios.append(mesh.path_s(path) / best)
        return sum(ratios) / len(ratios)

    mesh.run(12)
    before = stretch()
    mesh.run(300)
    assert not mesh.unreached(nodes)
    assert stretch() < min(1.1, before)
