"""A call over TCP and TLS: its legs, and what breaks it."""

import random
from dataclasses import dataclass, field

import pytest

from netns_lab.model.agenda import Agenda
from netns_lab.model.calls import REFUSED, Answer, Call, Reply


@dataclass
class Way:
    """A way that is switched by hand, and counts."""

    delay_s: float | None = 0.05
    open: bool = True
    sent: list[int] = field(default_factory=lambda: [0, 0])

    def one_way_s(self) -> float | None:
        return self.delay_s

    def listens(self) -> bool:
        return self.open

    def count(self, size: int, *, back: bool) -> None:
        self.sent[back] += size


class Caller:
    """One call, and when it ended how."""

    def __init__(self, way: Way, *, loss: float = 0.0, seed: int = 1, standing: bool = False) -> None:
        self.agenda = Agenda()
        self.ended: list[tuple[float, Answer | str | None]] = []
        self.replies: list[Reply] = []
        self.call = Call(
            self.agenda,
            random.Random(seed),
            way,
            500,
            10.0,
            self.replies.append,
            lambda answer: self.ended.append((round(self.agenda.now, 6), answer)),
            loss=loss,
            standing=standing,
        )
        self.call.start()


def test_a_call_takes_three_round_trips() -> None:
    caller = Caller(Way())
    caller.agenda.run(0.26)
    caller.replies[0]((100, "yes"))
    caller.agenda.run(60)
    assert caller.ended == [(0.31, (100, "yes"))]


def test_on_a_standing_connection_it_takes_one() -> None:
    caller = Caller(Way(), standing=True)
    caller.agenda.run(0.06)
    caller.replies[0]((100, "yes"))
    caller.agenda.run(60)
    assert caller.ended == [(0.11, (100, "yes"))]


def test_nothing_passes_and_the_connection_times_out() -> None:
    way = Way(delay_s=None)
    caller = Caller(way)
    caller.agenda.run(60)
    assert caller.ended == [(3.0, None)]
    assert way.sent == [0, 0]


def test_nobody_listens_and_that_is_said_after_a_round_trip() -> None:
    caller = Caller(Way(open=False))
    caller.agenda.run(60)
    assert caller.ended == [(0.1, REFUSED)]


def test_who_does_not_answer_in_time_is_not_waited_for() -> None:
    caller = Caller(Way())
    caller.agenda.run(20)
    assert caller.ended == [(10.0, None)]
    caller.replies[0]((100, "too late"))
    caller.agenda.run(20)
    assert len(caller.ended) == 1


@pytest.mark.parametrize("before_s", [0.1, 0.26])
def test_a_way_that_breaks_meanwhile_breaks_the_call(before_s: float) -> None:
    way = Way()
    caller = Caller(way)
    caller.agenda.run(before_s)
    way.delay_s = None
    for reply in caller.replies:
        reply((100, "into the void"))
    caller.agenda.run(60)
    assert caller.ended == [(10.0, None)]


def test_a_server_that_ends_before_the_request_arrives_refuses() -> None:
    way = Way()
    caller = Caller(way)
    way.open = False
    caller.agenda.run(60)
    assert caller.ended == [(0.25, REFUSED)]


def test_losses_cost_whole_seconds_and_no_call() -> None:
    arrivals = []
    for seed in range(200):
        caller = Caller(Way(), loss=0.05, seed=seed)
        while not caller.replies and caller.agenda.now < 9:
            caller.agenda.run(0.25)
        arrivals.append(caller.agenda.now)
    assert set(arrivals) == {0.25, 1.25, 3.25}
    assert arrivals.count(0.25) > 100


def test_both_sides_bytes_are_counted() -> None:
    way = Way()
    caller = Caller(way)
    caller.agenda.run(0.26)
    opening = list(way.sent)
    assert opening[0] > 1393 + 500
    assert opening[1] > 2891
    caller.replies[0]((100, "yes"))
    assert way.sent[1] - opening[1] > 100
