"""The figures of paths that can be checked by eye."""

import math
from array import array

import pytest

from netns_lab.simulate.figures import Degree, Reference, Spread, degrees, path_figures, spread
from netns_lab.simulate.overlay import Overlay
from netns_lab.simulate.paths import Paths
from netns_lab.simulate.underlay import Underlay

MATRIX = array("i", [0, 10_000, 90_000, 10_000, 0, 20_000, 90_000, 20_000, 0])


def test_references_are_the_direct_and_the_best_paths_of_the_sample() -> None:
    reference = Reference.of(Underlay(3, MATRIX), [2], 1000)
    assert list(reference.direct_us) == [90_000, 20_000, 1]
    assert list(reference.best_us) == [31_000, 20_000, 1]
    assert reference.direct == Spread(55.0, 20.0, 90.0)


def test_figures_compare_with_the_best_and_the_direct_path() -> None:
    reference = Reference.of(Underlay(3, MATRIX), [2, 0], 1000)
    paths = Paths(array("q", [62_000, 20_000, 0, 0, 20_000, -1]), array("h", [2, 1, 0, 0, 3, -1]))
    figures = path_figures(paths, reference, 2)
    assert figures.mean_ms == 34.0
    assert figures.median_ms == 20.0
    assert figures.median_ratio_best == 2.0
    assert figures.p99_ratio_best == 2.0
    assert figures.median_ratio_direct == 1.0
    assert figures.faster_than_direct == pytest.approx(1 / 3)
    assert figures.mean_hops == 2.0
    assert figures.reachable == 0.75


def test_where_nothing_is_reached_there_are_no_figures() -> None:
    reference = Reference.of(Underlay(3, MATRIX), [2], 0)
    figures = path_figures(Paths(array("q", [-1, -1, 0]), array("h", [-1, -1, 0])), reference, 1)
    assert figures.reachable == 0
    assert math.isnan(figures.mean_ms)


def test_degrees_count_both_kinds_of_tunnels() -> None:
    overlay = Overlay(4)
    overlay.open(0, 1)
    overlay.open(2, 0)
    assert degrees(overlay) == {0: 1, 1: 2, 2: 1}
    assert Degree.of(overlay) == Degree(1.0, 0, 1, 2, 2)


def test_a_spread_leaves_out_the_nodes_themselves() -> None:
    assert spread(array("i", [0, 2000, 4000, 0])) == Spread(3.0, 2.0, 4.0)
