"""Work is cut so that nothing is lost, doubled or empty."""

from hypothesis import given
from hypothesis import strategies as st

from netns_lab.simulate.threads import shares


@given(st.lists(st.integers()), st.integers(1, 9))
def test_shares_are_the_whole_in_order(items: list[int], workers: int) -> None:
    parts = shares(items, workers)
    assert [item for part in parts for item in part] == items
    assert len(parts) <= workers
    assert all(parts)
