"""Bounds hold at their very value, and what was not measured keeps none."""

import pytest

from netns_lab.bounded import Bounded


def test_a_value_that_could_not_be_measured_misses_its_bound() -> None:
    assert not Bounded(None, "s", at_most=10).met
    assert not Bounded(None, "s", at_least=0).met
    assert Bounded(None, "s").met


@pytest.mark.parametrize(("value", "met"), [(4.9, False), (5, True), (8, True), (8.1, False)])
def test_bounds_hold_at_their_very_value(value: float, met: bool) -> None:
    assert Bounded(value, "s", at_least=5, at_most=8).met is met


def test_a_bound_is_said_in_words() -> None:
    assert Bounded(7, "s", at_least=5, at_most=8).bound == "<= 8 and >= 5"
    assert Bounded(7, "s").bound is None
