"""Samples are of different, recent nodes, and cost the same in a large network."""

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from re6st_core.address import Endpoint, decode_endpoints_untrusted
from re6st_core.prefix import Prefix
from registry.domain.sampling import (
    RECENT,
    STORE_AGAIN,
    RandomSet,
    Sighting,
    Sightings,
    worth_storing,
)
from tests.helpers.registry import now

NOW = now()
HERE = decode_endpoints_untrusted("192.0.2.1,1194,udp")


def sighting(number: int, age: timedelta = timedelta()) -> Sighting:
    return Sighting(Prefix(16, number), (), number, NOW - age)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9))), st.integers(0, 12), st.integers())
def test_the_random_set_is_a_set(changes: list[tuple[bool, int]], count: int, seed: int) -> None:
    ours, model = RandomSet(), set()
    for adding, number in changes:
        member = Prefix(16, number)
        if adding:
            ours.add(member)
            model.add(member)
        else:
            ours.discard(member)
            model.discard(member)
        assert len(ours) == len(model)
        assert all((Prefix(16, n) in ours) == (Prefix(16, n) in model) for n in range(10))
    chosen = ours.choose(count, {Prefix(16, 3)}, random.Random(seed))
    assert len(chosen) == len(set(chosen)) <= count
    assert set(chosen) <= model - {Prefix(16, 3)}


def test_all_of_a_small_set_is_found() -> None:
    known = Sightings()
    for number in range(5):
        known.put(sighting(number))
    for seed in range(50):
        sample = known.sample(8, without={Prefix(16, 0)}, now=NOW, rng=random.Random(seed))
        assert {s.serial for s in sample} == {1, 2, 3, 4}


def test_every_node_is_drawn_about_as_often() -> None:
    known = Sightings()
    for number in range(20):
        known.put(sighting(number))
    rng = random.Random(1)
    drawn = [s.serial for _ in range(2000) for s in known.sample(4, without=set(), now=NOW, rng=rng)]
    assert all(300 < drawn.count(number) < 500 for number in range(20))


def test_who_has_not_called_for_long_is_forgotten() -> None:
    known = Sightings()
    known.put(sighting(1, RECENT + timedelta(seconds=1)))
    known.put(sighting(2, RECENT))
    sample = known.sample(8, without=set(), now=NOW, rng=random.Random(1))
    assert [s.serial for s in sample] == [2]
    assert len(known) == 1
    assert known.get(Prefix(16, 1)) is None


def test_a_sample_does_not_walk_the_network() -> None:
    class Counting(random.Random):
        calls = 0

        def choice(self, seq):  # type: ignore[no-untyped-def]  # as random.Random has it
            self.calls += 1
            return super().choice(seq)

    known = Sightings()
    for number in range(10000):
        known.put(sighting(number))
    rng = Counting(1)
    assert len(known.sample(8, without={Prefix(16, 1)}, now=NOW, rng=rng)) == 8
    assert rng.calls < 40


@pytest.mark.parametrize(
    ("age", "endpoints", "stored"),
    [
        (timedelta(), HERE, False),
        (STORE_AGAIN - timedelta(seconds=1), HERE, False),
        (timedelta(), (), True),
        (STORE_AGAIN, HERE, True),
    ],
)
def test_the_database_is_written_only_for_news(
    age: timedelta, endpoints: tuple[Endpoint, ...], stored: bool
) -> None:
    known = Sighting(Prefix(16, 1), (), 1, NOW, NOW - age, HERE)
    assert worth_storing(known, endpoints, NOW) is stored


def test_a_healthy_node_is_not_forgotten_though_two_of_its_calls_were_lost() -> None:
    longest_pause = 1.25 * timedelta(seconds=1200)  # nodes ask every 20 minutes, give or take a quarter
    known = Sightings()
    known.put(sighting(1, 3 * longest_pause))
    assert len(known.sample(1, without=set(), now=NOW, rng=random.Random(1))) == 1


def test_a_new_node_is_news() -> None:
    assert worth_storing(None, (), NOW)
    assert worth_storing(sighting(1), (), NOW)
