"""Work is cut so that nothing is lost, doubled or empty, and ends when one part fails."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns_lab.simulate.threads import in_parallel, shares


@given(st.lists(st.integers()), st.integers(1, 9))
def test_shares_are_the_whole_in_order(items: list[int], workers: int) -> None:
    parts = shares(items, workers)
    assert [item for part in parts for item in part] == items
    assert len(parts) <= workers
    assert all(parts)


def test_results_come_in_the_order_of_the_parts() -> None:
    assert in_parallel(lambda part, _stop: part * part, range(20)) == [k * k for k in range(20)]


def test_when_one_part_fails_the_others_see_it_and_the_rest_is_not_begun() -> None:
    begun = []

    def work(part: int, stop: threading.Event) -> None:
        begun.append(part)
        if part == 0:
            raise MemoryError
        assert stop.wait(timeout=10)

    with pytest.raises(MemoryError):
        in_parallel(work, range(50), workers=2)
    assert len(begun) < 10
