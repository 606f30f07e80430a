"""Whom a node probes and asks, and about what: bounded, and no effort for what cannot help."""

import random

from hypothesis import given
from hypothesis import strategies as st

from re6stnet.engine import scouting
from re6stnet.engine.scouting import (
    ASKED,
    GIVEN_UP_S,
    MAX_NOTES,
    PROBE_AGAIN_S,
    PROBES,
    SILENT_S,
    SWAP_BURST,
    SWAP_EVERY_S,
    Scout,
    draw_sample,
)


def rng() -> random.Random:
    return random.Random(1)


def test_whoever_was_probed_is_left_alone_for_a_while_and_longer_if_silent() -> None:
    scout: Scout[str] = Scout()
    assert set(scout.whom_to_probe(["a", "b"], now=0, rng=rng())) == {"a", "b"}
    scout.probed("a", 50, now=0)
    scout.probed("b", None, now=0)
    assert scout.whom_to_probe(["a", "b"], now=1, rng=rng()) == []
    assert scout.whom_to_probe(["a", "b"], now=PROBE_AGAIN_S, rng=rng()) == ["a"]
    assert set(scout.whom_to_probe(["a", "b"], now=SILENT_S, rng=rng())) == {"a", "b"}


def test_a_round_probes_and_asks_so_many_and_no_more() -> None:
    scout: Scout[int] = Scout()
    assert len(scout.whom_to_probe(range(1000), now=0, rng=rng())) == PROBES
    for peer in range(1000):
        scout.probed(peer, 10, now=0)
    asked = scout.whom_to_ask(dict.fromkeys(range(1000), 100), now=0, rng=rng())
    assert len(asked) == len(set(asked)) == ASKED


def test_who_is_dearer_than_the_route_there_is_not_asked() -> None:
    scout: Scout[str] = Scout()
    for peer, cost in (("near", 50), ("far", 150), ("silent", None)):
        scout.probed(peer, cost, now=0)
    metrics = dict.fromkeys(("near", "far", "silent", "unknown"), 100)
    assert scout.whom_to_ask(metrics, now=0, rng=rng()) == ["near"]


def test_the_best_known_come_first_then_the_greatest_shortening_of_the_unknown() -> None:
    scout: Scout[int] = Scout()
    for peer in range(100):
        scout.probed(peer, 100 - peer, now=0)
    scout.note({peer: float(peer) for peer in range(20)})
    asked = scout.whom_to_ask(dict.fromkeys(range(100), 200), now=0, rng=rng())
    assert asked[: ASKED // 2] == list(range(19, 19 - ASKED // 2, -1))
    assert asked[ASKED // 2 :] == list(range(99, 99 - ASKED // 2, -1))


def test_what_was_expected_fades_until_it_is_asked_again() -> None:
    scout: Scout[str] = Scout()
    for peer in ("old", "new"):
        scout.probed(peer, 1, now=0)
    scout.note({"old": 100.0})
    for _ in range(10):
        scout.note({"new": 50.0})
    assert scout.whom_to_ask({"old": 9, "new": 9}, now=0, rng=rng()) == ["new", "old"]


def test_a_peer_that_was_given_up_is_not_asked_at_once() -> None:
    scout: Scout[str] = Scout()
    scout.probed("a", 1, now=0)
    scout.swapped("a", now=0)
    assert scout.whom_to_ask({"a": 9}, now=GIVEN_UP_S - 1, rng=rng()) == []
    assert scout.whom_to_ask({"a": 9}, now=GIVEN_UP_S, rng=rng()) == ["a"]


def test_swaps_are_many_at_first_and_rare_later_but_for_tunnels_that_were_lost() -> None:
    scout: Scout[int] = Scout()
    for peer in range(int(SWAP_BURST)):
        assert scout.may_swap(0.0) > 0
        scout.swapped(peer, now=0)
    assert scout.may_swap(SWAP_EVERY_S - 1) == 0
    assert scout.may_swap(SWAP_EVERY_S) == 1
    scout.drew()
    assert scout.may_swap(SWAP_EVERY_S) == 2
    assert scout.may_swap(1e6) == SWAP_BURST


def test_notes_are_bounded() -> None:
    scout: Scout[int] = Scout()
    for peer in range(MAX_NOTES + 10):
        scout.probed(peer, 1, now=0)
    assert len(scout) == MAX_NOTES
    assert scout.cost(0) is None
    assert scout.cost(MAX_NOTES) == 1


@given(st.integers(1, 60), st.integers(0, 30), st.integers(1, 40), st.integers(0, 2**32))
def test_a_sample_stands_for_all_destinations(routed: int, named: int, width: int, seed: int) -> None:
    names = range(min(named, routed))
    sample = draw_sample(range(routed), names, {}, rng=random.Random(seed), width=width)
    assert len(sample.destinations) == len(set(sample.destinations)) == min(width, routed)
    assert set(sample.destinations) <= set(range(routed))
    assert set(names[:width]) <= set(sample.destinations)
    if width > len(names):
        assert abs(sum(sample.weight) - routed) < 1e-6


def test_traffic_counts_as_much_as_all_destinations_together() -> None:
    sample = draw_sample(range(100), [], {5: 3000, 6: 1000}, rng=rng(), width=20)
    assert sample.destinations[:2] == (5, 6)
    assert list(sample.weight[:2]) == [1 + 75, 1 + 25]
    assert abs(sum(sample.weight) - 200) < 1e-6


def test_a_question_fits_in_a_datagram() -> None:
    assert scouting.WIDTH <= 256
