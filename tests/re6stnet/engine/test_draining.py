"""Tunnels that end by agreement: both ends, and messages that are lost, doubled, late or hostile."""

import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from re6st_core.peer_wire import AGREE, ASK, DONE, REFUSE, WIREGUARD, Close, Drain
from re6st_core.prefix import Prefix
from re6stnet.engine.draining import (
    ASK_AGAIN_S,
    ASK_BURST,
    KEPT_S,
    LINGER_S,
    MAX_ASKS,
    Drainer,
)
from re6stnet.engine.messages import (
    Command,
    NeighbourChanged,
    Remove,
    Retire,
    RouteChange,
    Send,
    TunnelRecord,
)
from re6stnet.engine.negotiation import Negotiator
from re6stnet.engine.peers import PeerBook
from re6stnet.engine.routes import RouteTable
from re6stnet.engine.tunnel import DEADLINE_S, State, Tunnel

A, B, FAR = Prefix(16, 1), Prefix(16, 2), Prefix(16, 3)
NONCE, OTHER = "a" * 32, "b" * 32


@dataclass
class End:
    """One end of the tunnel: what the shell would do with its commands."""

    own: Prefix
    peer: Prefix
    now: float = 100.0
    sent: list[Drain] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = random.Random(1)
        peers = PeerBook(self.own)
        self.routes = RouteTable()
        self.tunnels = Negotiator(self.own, peers, rng=rng, new_nonce=lambda: OTHER)
        self.tunnels.adopt(TunnelRecord(NONCE, self.peer, True, WIREGUARD, 1420), now=0.0)
        self.tunnels.neighbour(NeighbourChanged(NONCE, True), now=0.0)
        self.drainer = Drainer(self.own, self.tunnels, peers, self.routes, rng=rng)

    @property
    def tunnel(self) -> Tunnel:
        tunnel = self.tunnels.get(NONCE)
        assert tunnel is not None
        return tunnel

    def do(self, commands: list[Command]) -> None:
        for command in [*commands, *self.drainer.due(now=self.now)]:
            match command:
                case Send(message=Drain() as drain):
                    self.sent.append(drain)
                case Retire():
                    self.retired.append(command.tunnel)
                case Remove():
                    self.removed.append(command.tunnel)

    def has_tunnel_with(self, peer: Prefix) -> None:
        self.tunnels.adopt(TunnelRecord(OTHER, peer, True, WIREGUARD, 1420), now=0.0)
        self.tunnels.neighbour(NeighbourChanged(OTHER, True), now=0.0)

    def ask(self) -> None:
        self.do(self.drainer.ask(self.tunnel, "no longer wanted", now=self.now))

    def hear(self, step: str, nonce: str = NONCE, sender: Prefix | None = None, **more: Any) -> None:
        message = Drain(
            sender=sender or self.peer, recipient=self.own, nonce=nonce, expires=0, step=step, **more
        )
        self.do(self.drainer.received(message, now=self.now))

    def babeld_lets_go(self) -> None:
        self.drainer.retired(NONCE)
        self.do([])

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while (at := self.drainer.next_deadline()) is not None and at <= end:
            self.now = at
            self.do([])
        self.now = end

    @property
    def steps(self) -> list[str]:
        return [message.step for message in self.sent]


@pytest.fixture
def a() -> End:
    return End(A, B)


@pytest.fixture
def b() -> End:
    return End(B, A)


def exchange(a: End, b: End, *, drop: Callable[[Drain], bool] = lambda _m: False, copies: int = 1) -> None:
    """Carry all messages both ways until there are none."""
    while a.sent or b.sent:
        for end, other in ((a, b), (b, a)):
            messages, end.sent = end.sent, []
            for message in messages:
                for _ in range(0 if drop(message) else copies):
                    other.do(other.drainer.received(message, now=other.now))


def test_both_ends_leave_the_tunnel_together_and_remove_it_a_moment_later(a: End, b: End) -> None:
    a.ask()
    exchange(a, b)
    assert (a.retired, b.retired) == ([NONCE], [NONCE])
    assert a.tunnels.with_peer(B) is None
    for end in (a, b):
        end.babeld_lets_go()
    exchange(a, b)
    for end in (a, b):
        assert not end.removed
        end.pass_time(LINGER_S)
        assert end.removed == [NONCE]
        assert end.drainer.next_deadline() is None


def test_nothing_is_removed_while_routes_still_go_through_it(a: End) -> None:
    a.routes.apply([RouteChange(FAR, NONCE, 50, True), RouteChange(FAR, OTHER, 60)])
    a.ask()
    a.hear(AGREE)
    a.babeld_lets_go()
    a.hear(DONE)
    assert a.steps == [ASK]
    a.routes.apply([RouteChange(FAR, NONCE, None)])
    a.do([])
    assert a.steps == [ASK]  # babeld has no other way yet, the kernel goes on with this one
    a.routes.apply([RouteChange(FAR, OTHER, 60, True)])
    a.do([])
    assert a.steps == [ASK, DONE]
    a.pass_time(LINGER_S)
    assert a.removed == [NONCE]


def test_the_other_end_answers_for_what_only_it_carries(a: End, b: End) -> None:
    b.routes.apply([RouteChange(FAR, NONCE, 50, True)])
    assert a.drainer.expendable(NONCE, now=a.now)
    a.ask()
    assert not a.drainer.expendable(NONCE, now=a.now)
    exchange(a, b)
    assert a.tunnel.state is b.tunnel.state is State.ACTIVE
    assert not a.drainer.asking
    assert not a.drainer.expendable(NONCE, now=a.now + KEPT_S / 2)
    assert a.drainer.expendable(NONCE, now=a.now + KEPT_S)


def test_a_neighbour_in_common_is_another_way_whatever_the_routes_say(a: End, b: End) -> None:
    for end in (a, b):
        end.routes.apply([RouteChange(FAR, NONCE, 50, True)])
        end.has_tunnel_with(FAR)
    a.ask()
    assert (a.sent[0].neighbours, a.sent[0].needed) == ((FAR,), True)
    exchange(a, b)
    assert (a.retired, b.retired) == ([NONCE], [NONCE])


def test_without_one_who_knows_no_other_way_is_refused(b: End) -> None:
    b.has_tunnel_with(FAR)
    b.hear(ASK, neighbours=(Prefix(16, 9),), needed=True)
    assert b.steps == [REFUSE]


@pytest.mark.parametrize("lost", [ASK, AGREE, DONE])
def test_a_lost_message_of_each_kind_is_made_good(a: End, b: End, lost: str) -> None:
    gone: list[Drain] = []

    def first_of_its_kind(message: Drain) -> bool:
        if message.step == lost and not gone:
            gone.append(message)
            return True
        return False

    a.ask()
    for _ in range(4):
        exchange(a, b, drop=first_of_its_kind)
        for end in (a, b):
            if end.retired:
                end.babeld_lets_go()
            end.pass_time(ASK_AGAIN_S)
    for end in (a, b):
        end.pass_time(DEADLINE_S[State.DRAINING])
    assert (a.removed, b.removed) == ([NONCE], [NONCE])


def test_doubled_messages_and_both_asking_change_nothing(a: End, b: End) -> None:
    a.ask()
    b.ask()
    exchange(a, b, copies=2)
    for end in (a, b):
        end.babeld_lets_go()
    exchange(a, b, copies=2)
    for end in (a, b):
        end.pass_time(LINGER_S)
        assert (end.retired, end.removed) == ([NONCE], [NONCE])


def test_who_gets_no_answer_keeps_its_tunnel(a: End) -> None:
    a.ask()
    a.pass_time(MAX_ASKS * ASK_AGAIN_S)
    assert a.steps == [ASK] * MAX_ASKS
    assert a.tunnel.state is State.ACTIVE
    assert not a.retired


def test_a_peer_that_falls_silent_while_draining_is_not_waited_for_in_vain(a: End) -> None:
    a.ask()
    a.hear(AGREE)
    a.babeld_lets_go()
    a.pass_time(DEADLINE_S[State.DRAINING])
    assert a.removed == [NONCE]


def test_a_peer_that_has_lost_the_tunnel_says_so(a: End, b: End) -> None:
    b.tunnels.release(b.tunnel)
    a.ask()
    exchange(a, b)
    assert a.retired == [NONCE]
    a.babeld_lets_go()
    a.pass_time(LINGER_S)
    assert a.removed == [NONCE]


def test_others_cannot_end_a_tunnel_nor_can_answers_to_no_question(a: End) -> None:
    a.hear(ASK, sender=FAR)
    a.hear(DONE, sender=FAR)
    a.hear(AGREE)
    a.hear(REFUSE)
    assert a.tunnel.state is State.ACTIVE
    assert (a.sent, a.retired) == ([], [])


def test_a_flood_of_questions_gets_a_bounded_number_of_answers(a: End) -> None:
    for _ in range(100):
        a.hear(ASK, nonce=OTHER)
    assert len(a.sent) == ASK_BURST


def test_a_peer_that_stops_is_left_at_once_and_its_packets_are_taken_a_moment_longer(a: End) -> None:
    close = Close(sender=B, recipient=A, nonce=NONCE, expires=0, reason="the node stops")
    a.do(a.drainer.closed(dataclasses.replace(close, sender=FAR), now=a.now))
    assert not a.retired
    a.do(a.drainer.closed(close, now=a.now))
    assert (a.retired, a.removed, a.sent) == ([NONCE], [], [])
    a.pass_time(LINGER_S)
    assert a.removed == [NONCE]
    assert a.drainer.closed(close, now=a.now) == []


def test_a_device_that_breaks_while_draining_is_removed_at_once(a: End) -> None:
    a.ask()
    a.hear(AGREE)
    a.drainer.broken(NONCE, now=a.now)
    a.do([])
    assert a.removed == [NONCE]


def test_a_tunnel_that_ends_otherwise_is_not_asked_for_again(a: End) -> None:
    a.ask()
    a.tunnels.release(a.tunnel)
    a.pass_time(ASK_AGAIN_S)
    assert a.steps == [ASK]
    assert not a.drainer.asking


def test_a_node_that_stops_removes_what_drains(a: End) -> None:
    a.ask()
    a.hear(AGREE)
    a.do(a.drainer.stop())
    assert a.removed == [NONCE]
