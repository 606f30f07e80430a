"""Routes of small overlays that can be worked out by hand."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns_lab.simulate.overlay import Overlay
from netns_lab.simulate.paths import Metrics, find_routes, quantile


def test_a_relay_that_is_cheaper_carries_both_destinations() -> None:
    overlay = Overlay(3)
    for a, b in [(0, 1), (1, 2), (0, 2)]:
        overlay.open(a, b)
    arcs = overlay.arcs()
    tunnels = list(zip(arcs.owner, arcs.to, strict=True))
    rtt_us = array("i", (90_000 if set(ends) == {0, 2} else 10_000 for ends in tunnels))
    carried, paths = find_routes(arcs, cost=rtt_us_to_cost(rtt_us), rtt_us=rtt_us, sampled=[2], relay_us=300)
    assert dict(zip(tunnels, carried, strict=True)) == {
        (0, 1): 2, (0, 2): 0, (1, 0): 1, (1, 2): 1, (2, 0): 0, (2, 1): 2,
    }  # fmt: skip
    assert list(paths.rtt_us) == [20_300, 10_000, 0]
    assert list(paths.hops) == [2, 1, 0]


def test_metrics_of_every_node_are_kept_and_read_with_what_it_costs_to_get_there() -> None:
    overlay = Overlay(4)
    overlay.open(0, 1)
    overlay.open(1, 2)
    arcs = overlay.arcs()
    costs = array("i", (10 * (owner + 1) for owner in arcs.owner))
    metrics = Metrics(4)
    find_routes(arcs, cost=costs, rtt_us=costs, sampled=[2], relay_us=0, metrics=metrics)
    wanted = array("i", [0, 2, 3])
    assert list(metrics.rows(array("i", [0, 1]), array("i", [0, 7]), wanted)) == [0, 30, 65535, 27, 27, 65535]


def rtt_us_to_cost(rtt_us: "array[int]") -> "array[int]":
    return array("i", (us // 100 for us in rtt_us))


def test_without_a_route_there_is_no_path() -> None:
    overlay = Overlay(3)
    overlay.open(0, 1)
    arcs = overlay.arcs()
    ones = array("i", [1, 1])
    carried, paths = find_routes(arcs, cost=ones, rtt_us=ones, sampled=[0, 2], relay_us=0)
    assert list(carried) == [1, 1]
    assert list(paths.rtt_us) == [0, 1, -1, -1, -1, 0]
    assert list(paths.hops) == [0, 1, -1, -1, -1, 0]


@given(st.lists(st.floats(0, 1e9), min_size=1), st.sampled_from([0.0, 0.25, 0.5, 0.99, 1.0]))
def test_a_quantile_is_the_value_at_its_rank(values: list[float], share: float) -> None:
    found = quantile(array("d", values), share)
    assert found in values
    assert sum(value < found for value in values) <= share * len(values)
    assert sum(value <= found for value in values) >= share * len(values)


def test_of_nothing_there_is_no_quantile() -> None:
    assert quantile(array("d"), 0.5) != pytest.approx(0)
