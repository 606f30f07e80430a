"""When babeld notices that a tunnel begins or ceases to carry packets."""

import random

import pytest

from netns_lab.model.agenda import Agenda
from netns_lab.model.links import Link


class Pipe:
    """A carrier whose two directions are switched by hand."""

    openvpn = False

    def __init__(self) -> None:
        self.works = [True, True]

    def carries(self, end: int) -> bool:
        return self.works[end]

    def one_way_s(self, end: int) -> float:
        return 0.01

    def loss(self) -> float:
        return 0.0


class Watch:
    """A link between nodes 7 and 9, and what its ends were told."""

    def __init__(self, pipe: Pipe, *, seed: int = 1, hello_s: float = 1.0) -> None:
        self.agenda = Agenda()
        self.told: list[tuple[float, int, bool]] = []
        self.link = Link("t", (7, 9), pipe, self.agenda, random.Random(seed), hello_s, self._tell)
        self.link.refresh()

    def _tell(self, end: int, alive: bool) -> None:
        self.told.append((self.agenda.now, end, alive))


@pytest.mark.parametrize("seed", range(5))
def test_a_new_link_is_alive_at_both_ends_within_four_hellos(seed: int) -> None:
    watch = Watch(Pipe(), seed=seed)
    watch.agenda.run(10)
    assert [(end, alive) for _, end, alive in watch.told] == [(0, True), (1, True)]
    assert 0.3 <= watch.told[0][0] <= 1.6


def test_one_direction_is_not_enough() -> None:
    pipe = Pipe()
    pipe.works[1] = False
    watch = Watch(pipe)
    watch.agenda.run(60)
    assert not watch.told
    assert watch.link.carries(7)
    assert not watch.link.carries(9)


@pytest.mark.parametrize("seed", range(5))
def test_a_silent_neighbour_is_given_up_and_the_other_end_is_told(seed: int) -> None:
    pipe = Pipe()
    watch = Watch(pipe, seed=seed)
    watch.link.impatient = [True, True]
    watch.agenda.run(10)
    pipe.works[0] = False
    assert watch.link.refresh()
    watch.agenda.run(10)
    (deaf_at, listener, _), (told_at, speaker, alive) = watch.told[2:]
    assert (listener, speaker, alive) == (1, 0, False)
    assert 2.5 <= deaf_at - 10 <= 3.6
    assert 0.0 <= told_at - deaf_at <= 1.0
    assert watch.link.alive == [False, False]


def test_a_short_silence_is_not_noticed() -> None:
    pipe = Pipe()
    watch = Watch(pipe)
    watch.agenda.run(10)
    pipe.works = [False, False]
    watch.link.refresh()
    watch.agenda.run(12.0)
    pipe.works = [True, True]
    watch.link.refresh()
    watch.agenda.run(20)
    assert len(watch.told) == 2


def test_what_comes_back_is_alive_again() -> None:
    pipe = Pipe()
    watch = Watch(pipe)
    watch.agenda.run(10)
    for works in (False, True):
        pipe.works = [works, works]
        watch.link.refresh()
        watch.agenda.run(20)
    assert watch.link.alive == [True, True]


def test_hellos_are_in_intervals_of_the_network() -> None:
    watch = Watch(Pipe(), hello_s=4.0)
    watch.agenda.run(1.1)
    assert not watch.told
    watch.agenda.run(10)
    assert len(watch.told) == 2


def test_a_babeld_that_loses_its_interface_is_deaf_at_once_and_mute_later() -> None:
    watch = Watch(Pipe())
    watch.agenda.run(10)
    watch.link.speak(7, False)
    assert watch.link.alive == [False, True]
    watch.agenda.run(20)
    assert [(end, alive) for _, end, alive in watch.told[2:]] == [(1, False)]
    watch.link.speak(7, True)
    watch.agenda.run(2)
    assert watch.link.alive == [True, True]
