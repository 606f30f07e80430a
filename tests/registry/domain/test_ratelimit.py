"""Buckets fill again with time, and there are never too many of them."""

from hypothesis import given
from hypothesis import strategies as st

from registry.domain.ratelimit import RateLimit


def test_a_burst_is_allowed_then_one_per_interval() -> None:
    limit = RateLimit(burst=3, interval_s=10)
    for _ in range(3):
        assert limit.wait_s("a", 0) == 0
        limit.take("a", 0)
    assert limit.wait_s("a", 0) == 10
    assert limit.wait_s("a", 4) == 6
    assert limit.wait_s("a", 10) == 0
    assert limit.wait_s("b", 0) == 0


def test_asking_takes_nothing() -> None:
    limit = RateLimit(burst=1, interval_s=1)
    assert {limit.wait_s("a", 0) for _ in range(5)} == {0}


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 100)), max_size=200))
def test_memory_is_bounded(events: list[tuple[int, float]]) -> None:
    limit = RateLimit(burst=2, interval_s=1, max_keys=10)
    now = 0.0
    for key, later in events:
        now += later
        limit.take(key, now)
        assert 0 <= limit.wait_s(key, now) <= 1
        assert len(limit._buckets) <= 10


def test_a_clock_that_is_set_back_takes_nothing_away() -> None:
    limit = RateLimit(burst=3, interval_s=1)
    limit.take("a", 10000)
    assert limit.wait_s("a", 0) == 0
