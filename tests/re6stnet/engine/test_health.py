"""Dead tunnels leave babeld at once, and come back; what may be our own fault changes nothing."""

import random
from ipaddress import ip_address

import pytest

from re6st_core.address import Endpoint, Protocol
from re6st_core.netparams import NetworkParameters
from re6st_core.peer_wire import WIREGUARD, Answer
from re6st_core.prefix import Prefix
from re6stnet.engine.engine import BOOTSTRAP_PAUSE_S, SELECT_EVERY_S, SWAP_AFTER_S, SWAP_LIMIT_S, Engine
from re6stnet.engine.health import LATEST_VERDICT_S, SOONEST_VERDICT_S
from re6stnet.engine.messages import (
    AskBootstrap,
    BootstrapFailed,
    Command,
    Created,
    EndpointsChanged,
    Event,
    Join,
    Leave,
    NeighbourChanged,
    PeerSeen,
    PeersLearned,
    Prepared,
    Received,
    Remove,
    Started,
    Timer,
    TunnelAnswers,
    TunnelRecord,
    TunnelSilent,
)
from re6stnet.engine.selection import Swap
from re6stnet.engine.tunnel import DEADLINE_S, State

TUNNELS = ("a" * 32, "b" * 32, "c" * 32)
A, B, C = TUNNELS


def record(number: int, nonce: str) -> TunnelRecord:
    endpoint = Endpoint(ip_address(f"198.51.100.{number}"), 1194, Protocol.UDP)
    return TunnelRecord(nonce, Prefix(16, number), True, WIREGUARD, 1420, endpoint, "key")


class Node:
    """An engine with three tunnels that work, and a clock."""

    def __init__(self) -> None:
        numbers = iter(range(1000))
        self.engine = Engine(
            Prefix(16, 9),
            NetworkParameters(version=1),
            rng=random.Random(1),
            new_nonce=lambda: f"{next(numbers):032x}",
            client_count=3,
        )
        self.now = 100.0
        self.give(EndpointsChanged((Endpoint(ip_address("198.51.100.9"), 1194, Protocol.UDP),)))
        self.give(Started(tuple(record(number, nonce) for number, nonce in enumerate(TUNNELS, 1))))
        for nonce in TUNNELS:
            self.give(TunnelAnswers(nonce))
            self.give(NeighbourChanged(nonce, True, 20_000))
        self.give(PeersLearned((), by_registry=True))  # the first answer of the registry

    def give(self, event: Event) -> list[Command]:
        return self.engine.handle(event, now=self.now)

    def wait(self, seconds: float) -> list[Command]:
        """Let time pass; what is due meanwhile is done at its time."""
        end, commands = self.now + seconds, list[Command]()
        while (timer := self.engine.next_timer()) is not None and timer <= end:
            self.now = max(timer, self.now)
            commands += self.give(Timer())
        self.now = end
        return commands

    def state(self, nonce: str) -> State | None:
        tunnel = self.engine.tunnels.get(nonce)
        return None if tunnel is None else tunnel.state


@pytest.fixture
def node() -> Node:
    return Node()


def test_a_new_tunnel_gets_to_babeld_when_its_peer_answers(node: Node) -> None:
    tunnel = node.engine.tunnels
    tunnel.adopt(record(4, "d" * 32), now=node.now)
    assert Join("d" * 32) in node.give(TunnelAnswers("d" * 32))


def test_a_dead_tunnel_leaves_babeld_at_once_and_is_kept(node: Node) -> None:
    commands = node.give(TunnelSilent(A, witnessed=True))
    assert commands[0] == Leave(A)
    assert not [c for c in commands if isinstance(c, Remove)]
    assert node.state(A) is State.SILENT
    assert node.engine.tunnels.opened() == 2, "another may take its place"


def test_one_that_answers_again_is_back_at_once(node: Node) -> None:
    node.give(TunnelSilent(A, witnessed=True))
    node.wait(40)
    assert node.give(TunnelAnswers(A))[0] == Join(A)
    node.give(NeighbourChanged(A, True, 20_000))
    assert node.state(A) is State.ACTIVE


def test_one_that_stays_silent_goes(node: Node) -> None:
    node.give(TunnelSilent(A, witnessed=True))
    commands = node.wait(DEADLINE_S[State.SILENT] + 1)
    assert [c.tunnel for c in commands if isinstance(c, Remove)] == [A]


def test_babels_own_opinion_changes_nothing_while_it_is_silent(node: Node) -> None:
    node.give(TunnelSilent(A, witnessed=True))
    node.give(NeighbourChanged(A, False))
    node.give(NeighbourChanged(A, True))
    assert node.state(A) is State.SILENT


def test_one_that_flaps_waits_longer_each_time(node: Node) -> None:
    waits = []
    for _ in range(6):
        node.give(TunnelSilent(A, witnessed=True))
        node.wait(2)
        began = node.now
        commands = node.give(TunnelAnswers(A))
        while Join(A) not in commands:
            timer = node.engine.next_timer()
            assert timer is not None
            commands = node.wait(max(timer - node.now, 0.001))
        waits.append(round(node.now - began))
        node.wait(2)
    assert waits == [0, 1, 2, 4, 8, 8]
    node.give(NeighbourChanged(A, True))
    node.wait(100)
    node.give(TunnelSilent(A, witnessed=True))
    assert Join(A) in node.give(TunnelAnswers(A)), "it was calm for long enough"


def test_one_that_falls_silent_while_it_waits_does_not_get_in(node: Node) -> None:
    for _ in range(3):
        node.give(TunnelSilent(A, witnessed=True))
        node.give(TunnelAnswers(A))
        node.wait(1)
    assert node.state(A) is State.SILENT
    node.give(TunnelSilent(A, witnessed=True))
    assert Join(A) not in node.wait(30)


def test_silence_that_may_be_our_fault_flushes_nothing(node: Node) -> None:
    commands = [c for nonce in TUNNELS for c in node.give(TunnelSilent(nonce, witnessed=False))]
    assert not [c for c in commands if isinstance(c, Leave | Remove)]
    assert node.engine.health.cut_off
    for nonce in TUNNELS:
        node.give(TunnelAnswers(nonce))
        assert node.state(nonce) is State.ACTIVE


def test_a_silence_that_is_witnessed_later_counts_then(node: Node) -> None:
    for nonce in TUNNELS:
        node.give(TunnelSilent(nonce, witnessed=False))
    node.give(TunnelAnswers(A))
    assert node.give(TunnelSilent(B, witnessed=True))[0] == Leave(B)


def test_who_is_cut_off_asks_the_registry_soon_and_again(node: Node) -> None:
    node.wait(60)
    commands = [c for nonce in TUNNELS for c in node.give(TunnelSilent(nonce, witnessed=False))]
    commands += node.wait(BOOTSTRAP_PAUSE_S)
    assert AskBootstrap() in commands
    node.give(BootstrapFailed("no route"))
    assert AskBootstrap() in node.wait(2)


def test_if_the_registry_answers_all_that_is_silent_is_dead(node: Node) -> None:
    for nonce in TUNNELS:
        node.give(TunnelSilent(nonce, witnessed=False))
    node.wait(20)
    commands = node.give(PeersLearned((PeerSeen(Prefix(16, 5), ()),), by_registry=True))
    assert commands == [], "our own link is back, perhaps: they may answer now"
    commands = node.wait(LATEST_VERDICT_S)
    assert {c.tunnel for c in commands if isinstance(c, Remove)} == set(TUNNELS)


def test_if_one_answers_soon_after_the_registry_none_is_dead(node: Node) -> None:
    for nonce in TUNNELS:
        node.give(TunnelSilent(nonce, witnessed=False))
    node.wait(20)
    node.give(PeersLearned((), by_registry=True))
    node.wait(1)
    node.give(TunnelAnswers(C))
    assert not [c for c in node.wait(LATEST_VERDICT_S) if isinstance(c, Remove)]


def test_a_short_silence_is_judged_soon(node: Node) -> None:
    for nonce in TUNNELS:
        node.give(TunnelSilent(nonce, witnessed=False))
    node.give(PeersLearned((), by_registry=True))
    assert len([c for c in node.wait(SOONEST_VERDICT_S) if isinstance(c, Remove)]) == len(TUNNELS)


def test_the_registrys_answer_kills_nobody_while_one_is_heard(node: Node) -> None:
    for nonce in (A, B):
        node.give(TunnelSilent(nonce, witnessed=False))
    commands = node.give(PeersLearned((), by_registry=True))
    assert not [c for c in commands if isinstance(c, Remove)]


def test_the_first_tunnel_that_answers_again_ends_all_waiting_for_peers(node: Node) -> None:
    peer = Prefix(16, 7)
    for _ in range(9):
        node.engine.peers.failed(peer, now=node.now, rng=random.Random(1))
    for nonce in TUNNELS:
        node.give(TunnelSilent(nonce, witnessed=False))
    assert node.engine.peers.get(peer).retry_at > node.now + 100
    node.give(TunnelAnswers(A))
    assert node.engine.peers.get(peer).retry_at <= node.now + 3


def test_news_of_a_tunnel_that_is_gone_is_ignored(node: Node) -> None:
    assert node.engine.health.answered("9" * 32, now=node.now) == []
    assert node.engine.health.silent("9" * 32, True, now=node.now) == []


def test_a_newcomer_that_comes_and_goes_does_not_hold_up_other_swaps_for_ever(node: Node) -> None:
    flapping, other = Prefix(16, 4), Prefix(16, 5)
    places = {p: Endpoint(ip_address(f"198.51.100.{p.value}"), 1194, Protocol.UDP) for p in (flapping, other)}
    node.give(PeersLearned(tuple(PeerSeen(peer, (place,)) for peer, place in places.items())))
    node.engine.rounds.swaps.append(Swap(flapping, A, "better"))
    node.wait(0.1)
    new = node.engine.tunnels.with_peer(flapping)
    assert new is not None
    node.give(Prepared(new.nonce, "key", places[flapping], 1000))
    answer = Answer(
        sender=flapping, recipient=Prefix(16, 9), nonce=new.nonce, expires=0, public_key="key", endpoints=()
    )
    node.give(Received(answer, 7))
    node.give(Created(new.nonce))
    for _ in range(int(SWAP_LIMIT_S / 12) + 1):
        node.give(TunnelAnswers(new.nonce))
        node.wait(8.5)
        node.give(NeighbourChanged(new.nonce, True, 1000))
        node.wait(SWAP_AFTER_S - 2)
        node.give(TunnelSilent(new.nonce, witnessed=True))
        node.wait(0.5)
    assert node.state(A) is State.ACTIVE, "the newcomer has never worked for long enough"
    for _ in range(2):  # a round that begins meanwhile forgets what the last one found
        node.engine.rounds.swaps.append(Swap(other, A, "better"))
        node.wait(SELECT_EVERY_S)
    assert node.engine.tunnels.with_peer(other) is not None
