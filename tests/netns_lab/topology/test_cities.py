"""Distances and round-trip times between cities: plausible, symmetric, and never shorter over a third."""

import pytest

from netns_lab.topology.cities import BASE_MS, CITIES, distance_km, rtt_ms


@pytest.mark.parametrize(
    ("a", "b", "km"),
    [
        ("Paris", "London", 344),
        ("New York", "Tokyo", 10850),
        ("Sydney", "Santiago", 11350),
        ("Paris", "Paris", 0),
    ],
)
def test_distances_are_those_of_an_atlas(a: str, b: str, km: float) -> None:
    assert distance_km(a, b) == pytest.approx(km, rel=0.01, abs=1)


def test_times_are_symmetric_and_no_detour_is_shorter() -> None:
    for a in CITIES:
        assert rtt_ms(a, a) == BASE_MS
        for b in CITIES:
            assert rtt_ms(a, b) == pytest.approx(rtt_ms(b, a))
            assert BASE_MS <= rtt_ms(a, b) < 320
            assert all(rtt_ms(a, via) + rtt_ms(via, b) > rtt_ms(a, b) for via in CITIES if via not in (a, b))


def test_paris_and_tokyo_are_far_apart() -> None:
    assert 140 < rtt_ms("Paris", "Tokyo") < 170
