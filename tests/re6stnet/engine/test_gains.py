"""The scores of selection: C and plain Python say the same, and what they say is what a swap does."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from re6stnet.engine.gains import INFINITE, believe, work_out
from re6stnet.engine.gains_model import model_believe, model_gains

metrics = st.one_of(st.integers(0, 6000), st.just(INFINITE), st.integers(INFINITE - 20, INFINITE))


@st.composite
def choices(draw: st.DrawFn) -> tuple[list[int], list[list[int]], list[list[int]], list[int]]:
    width = draw(st.integers(1, 5))
    rows = st.lists(st.lists(metrics, min_size=width, max_size=width), max_size=4)
    via, offered = draw(rows), draw(rows)
    cost = st.lists(st.integers(1, 3000), min_size=len(offered), max_size=len(offered))
    return draw(st.lists(st.integers(1, 9), min_size=width, max_size=width)), via, offered, draw(cost)


@given(choices())
def test_c_and_python_agree(
    choice: tuple[list[int], list[list[int]], list[list[int]], list[int]],
) -> None:
    weight, via, offered, cost = choice
    found = work_out(array("d", weight), [array("i", r) for r in via], [array("i", r) for r in offered], cost)
    wanted = model_gains(weight, via, offered, cost)
    assert [list(found.gain), list(found.theirs), list(found.loss), list(found.swap)] == list(wanted)
    assert found.total == sum(w * min((r[k] for r in via), default=INFINITE) for k, w in enumerate(weight))


@given(choices())
def test_c_and_python_believe_the_same(
    choice: tuple[list[int], list[list[int]], list[list[int]], list[int]],
) -> None:
    _weight, via, offered, routes = choice
    rows = [array("i", r) for r in via], [array("i", r) for r in offered]
    assert [list(row) for row in believe(*rows, routes)] == model_believe(via, offered, routes)


def test_a_candidate_near_a_destination_of_weight_gains_most() -> None:
    far = array("i", [1000, 1000])
    near_first, near_second = array("i", [10, 2000]), array("i", [2000, 10])
    gains = work_out(array("d", [1.0, 3.0]), [far], [near_first, near_second], [100, 100])
    assert list(gains.gain) == [890, 3 * 890]
    assert list(gains.loss) == [4 * (INFINITE - 1000)]


def test_rows_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="each destination"):
        work_out(array("d", [1.0]), [array("i", [1, 2])], [], [])
    with pytest.raises(ValueError, match="each destination"):
        work_out(array("d", [1.0]), [], [array("i", [1])], [])
