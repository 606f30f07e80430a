"""A tunnel is called silent soon, but not for a lost packet, nor for a fault of our own."""

import random
from collections.abc import Callable

import pytest

from re6stnet.engine.probing import BUDGET_MHZ, MAX_TARGETS, RING, Probing

MS = 1000
Answers = Callable[[int, int], int | None]
"""Tag and time of a probe -> when the answer arrives, microseconds later; None: never."""


class Clock:
    """Time that passes from event to event: answers arrive as ``answers`` says."""

    def __init__(self, answers: Answers) -> None:
        self.probing = Probing()
        self.now = 1_000_000
        self.answers = answers
        self.under_way: list[tuple[int, int, int]] = []
        self.sent: list[tuple[int, int]] = []
        self.news: list[tuple[int, int, bool, bool]] = []

    def run(self, ms: int) -> None:
        end = self.now + ms * MS
        while True:
            due = self.probing.due
            times = [t for t in (due, *(at for at, _, _ in self.under_way)) if t is not None and t <= end]
            if not times:
                self.now = end
                return
            self.now = max(min(times), self.now)
            for at, tag, seq in [w for w in self.under_way if w[0] <= self.now]:
                self.under_way.remove((at, tag, seq))
                self.probing.answer(tag, seq, self.now)
            for tag, seq in self.probing.step(self.now):
                self.sent.append((self.now, tag))
                after = self.answers(tag, self.now)
                if after is not None:
                    self.under_way.append((self.now + after, tag, seq))
            self.news += [(self.now, *item) for item in self.probing.take()]

    def add(self, *tags: int) -> None:
        for tag in tags:
            assert self.probing.add(tag, self.now)

    def told(self, tag: int) -> list[tuple[int, bool, bool]]:
        """News of a tunnel: milliseconds, silent, witnessed."""
        return [((at - 1_000_000) // MS, silent, seen) for at, t, silent, seen in self.news if t == tag]


def rtt(ms: float, *, dead: dict[int, float] | None = None, again: dict[int, float] | None = None) -> Answers:
    """Every tunnel has this round trip; some are dead from a moment (in seconds) until another."""

    def answer(tag: int, now: int) -> int | None:
        since, until = (dead or {}).get(tag, 1e9), (again or {}).get(tag, 1e9)
        return None if since <= (now - 1_000_000) / 1e6 < until else round(ms * MS)

    return answer


def test_a_new_tunnel_answers_after_one_round_trip() -> None:
    clock = Clock(rtt(20))
    clock.add(1)
    clock.run(1000)
    assert clock.told(1) == [(20, False, False)]


def test_one_that_never_answers_is_no_news_and_asked_ever_more_rarely() -> None:
    clock = Clock(rtt(20, dead={1: 0}))
    clock.add(1)
    clock.run(10_000)
    assert clock.told(1) == []
    assert [(at - 1_000_000) // MS for at, _ in clock.sent][:6] == [0, 100, 300, 700, 1500, 2500]


@pytest.mark.parametrize("moment", [5.0, 5.05, 5.1, 5.15, 5.2, 5.249])
def test_a_tunnel_in_use_is_called_silent_within_600_ms(moment: float) -> None:
    clock = Clock(rtt(20, dead={1: moment}))
    clock.add(1, 2)
    clock.probing.use(1, clock.now, traffic=True)
    clock.run(8000)
    [_, (at_ms, silent, witnessed)] = clock.told(1)
    assert silent
    assert witnessed
    assert 300 <= at_ms - moment * 1000 <= 600
    assert len(clock.told(2)) == 1


def test_an_idle_one_takes_a_second_more_at_most() -> None:
    clock = Clock(rtt(20, dead={1: 5.01}))
    clock.add(1, 2)
    clock.run(8000)
    assert 5010 < clock.told(1)[-1][0] <= 5010 + 1350


def test_one_that_answers_again_is_told_within_a_second() -> None:
    clock = Clock(rtt(20, dead={1: 5}, again={1: 45}))
    clock.add(1, 2)
    clock.run(50_000)
    [_, _, (at_ms, silent, _)] = clock.told(1)
    assert not silent
    assert 45_000 < at_ms <= 46_100


def test_a_long_way_has_a_long_time_out() -> None:
    clock = Clock(rtt(900))
    clock.add(1)
    clock.run(60_000)
    assert len(clock.told(1)) == 1


def test_three_lost_in_a_row_are_a_misfortune() -> None:
    lost = iter([True] * 3)
    clock = Clock(lambda _tag, now: None if now > 6_000_000 and next(lost, False) else 20 * MS)
    clock.add(1, 2)
    clock.run(10_000)
    assert [len(clock.told(tag)) for tag in (1, 2)] == [1, 1]


@pytest.mark.parametrize("loss", [0.02, 0.1, 0.3])
def test_loss_is_not_taken_for_death(loss: float) -> None:
    rng = random.Random(7)
    clock = Clock(lambda tag, _now: None if tag == 1 and rng.random() < loss else 20 * MS)
    clock.add(1, 2)
    clock.probing.use(1, clock.now, traffic=True)
    clock.run(600_000)
    assert len([n for n in clock.told(1) if n[1]]) <= (1 if loss > 0.2 else 0)
    assert abs(clock.probing.targets[0].loss / 65536 - loss) < 0.2


def test_jitter_is_not_taken_for_death() -> None:
    rng = random.Random(7)
    clock = Clock(lambda _tag, _now: round(rng.expovariate(1 / 60) * MS) + 20 * MS)
    clock.add(1, 2)
    clock.probing.use(1, clock.now, traffic=True)
    clock.run(600_000)
    assert len(clock.told(1)) == 1


def test_when_all_are_silent_nobody_is_a_witness() -> None:
    clock = Clock(rtt(20, dead=dict.fromkeys(range(1, 9), 5.1)))
    clock.add(*range(1, 9))
    clock.run(20_000)
    assert [clock.told(tag)[1:] for tag in range(1, 9)] == [
        [(clock.told(tag)[1][0], True, False)] for tag in range(1, 9)
    ]


@pytest.mark.parametrize("moment_ms", range(6000, 6250, 10))
def test_when_our_own_link_dies_a_long_way_is_not_accused_by_a_short_one(moment_ms: int) -> None:
    """What was on its way back to us from far away is lost, what came from near by had arrived."""
    end = 1_000_000 + moment_ms * MS

    def answer(tag: int, now: int) -> int | None:
        after = {1: 200, 2: 10}[tag] * MS
        return after if now + after <= end else None

    clock = Clock(answer)
    clock.add(1, 2)
    for tag in (1, 2):
        clock.probing.use(tag, clock.now, traffic=True)
    clock.run(9000)
    assert [clock.told(tag)[1][1:] for tag in (1, 2)] == [(True, False), (True, False)]


def test_when_our_own_link_is_back_nobody_is_accused() -> None:
    dead, again = dict.fromkeys(range(1, 9), 5.1), dict.fromkeys(range(1, 9), 15.0)
    clock = Clock(rtt(20, dead=dead, again=again))
    clock.add(*range(1, 9))
    clock.run(20_000)
    for tag in range(1, 9):
        assert [(silent, seen) for _, silent, seen in clock.told(tag)] == [
            (False, False),
            (True, False),
            (False, False),
        ]


def test_those_that_stay_silent_then_are_accused_soon() -> None:
    dead, again = dict.fromkeys(range(1, 9), 5.1), {1: 15.0}
    clock = Clock(rtt(20, dead=dead, again=again))
    clock.add(*range(1, 9))
    clock.run(20_000)
    back_ms = clock.told(1)[-1][0]
    for tag in range(2, 9):
        at_ms, silent, witnessed = clock.told(tag)[-1]
        assert silent
        assert witnessed
        assert at_ms - back_ms < 600


def test_two_that_die_together_are_witnessed_by_the_third() -> None:
    clock = Clock(rtt(20, dead={1: 5.1, 2: 5.1}))
    clock.add(1, 2, 3)
    for tag in (1, 2):
        clock.probing.use(tag, clock.now, traffic=True)
    clock.run(8000)
    assert all(clock.told(tag)[-1][1:] == (True, True) for tag in (1, 2))


def test_a_thread_that_ran_late_holds_nothing_against_anybody() -> None:
    clock = Clock(rtt(20))
    clock.add(1, 2)
    clock.run(5000)
    clock.under_way.clear()  # lost while nothing ran
    clock.now += 3_000_000
    clock.probing.step(clock.now)
    assert clock.probing.late > 2_000_000
    clock.run(5000)
    assert len(clock.told(1)) == 1


def test_on_a_busy_machine_time_outs_are_longer_for_a_while() -> None:
    clock = Clock(rtt(20))
    clock.add(1, 2)
    clock.run(20_000)
    usual = clock.probing.targets[0].timeout(clock.probing.margin)
    due = clock.probing.due
    assert due is not None
    clock.now = due + 50 * MS
    clock.run(5000)
    assert clock.probing.targets[0].timeout(clock.probing.margin) == usual + 100 * MS
    clock.run(10_000)
    assert clock.probing.targets[0].timeout(clock.probing.margin) == usual


def test_the_budget_is_kept_whatever_is_in_use() -> None:
    clock = Clock(rtt(20))
    clock.add(*range(1, 41))
    for tag in range(1, 41):
        clock.probing.use(tag, clock.now, traffic=True)
    clock.run(5000)
    clock.sent.clear()
    clock.run(10_000)
    assert len(clock.sent) / 10 <= BUDGET_MHZ / 1000 * 1.02


def test_what_carries_traffic_gets_what_the_budget_has_left() -> None:
    clock = Clock(rtt(20))
    clock.add(*range(1, 41))
    for tag in range(1, 40):
        clock.probing.use(tag, clock.now, traffic=tag <= 5)
    clock.run(5000)
    clock.sent.clear()
    clock.run(10_000)
    counts = [sum(tag == t for _, t in clock.sent) for tag in (1, 20, 40)]
    assert counts == [40, 10, 10]


def test_answers_that_nobody_waits_for_are_nothing() -> None:
    clock = Clock(rtt(20, dead={1: 0}))
    clock.add(1)
    clock.run(60_000)
    newest = clock.probing.targets[0].seq - 1
    for seq in (-1, newest + 1, newest - RING, 1 << 40):
        assert not clock.probing.answer(1, seq, clock.now)
    assert not clock.probing.answer(2, newest, clock.now)
    assert clock.probing.answer(1, newest, clock.now)
    assert not clock.probing.answer(1, newest, clock.now), "twice"


def test_there_is_room_for_so_many() -> None:
    probing = Probing()
    assert all(probing.add(tag, 1) for tag in range(MAX_TARGETS))
    assert not probing.add(MAX_TARGETS, 1)
    probing.remove(3, 1)
    assert probing.add(MAX_TARGETS, 1)
