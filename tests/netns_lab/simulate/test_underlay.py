"""The truth of a simulation: pairs, rows and best relay paths of a matrix."""

from array import array

from netns_lab.simulate.underlay import Underlay

ROWS = [[0, 10, 90], [10, 0, 20], [90, 20, 0]]


def underlay() -> Underlay:
    return Underlay(3, array("i", (us for row in ROWS for us in row)))


def test_rows_and_pairs_are_those_of_the_matrix() -> None:
    assert list(underlay().row_us(2)) == ROWS[2]
    assert list(underlay().pairs_us(array("i", [0, 2, 1]), array("i", [2, 1, 1]))) == [90, 20, 0]


def test_the_best_path_takes_a_relay_unless_it_costs_too_much() -> None:
    assert list(underlay().best_us([0, 2], 5)) == [0, 10, 35, 35, 20, 0]
    assert list(underlay().best_us([0], 60)) == [0, 10, 90]
    assert list(underlay().best_us([], 0)) == []


def test_the_matrix_lives_as_long_as_the_underlay() -> None:
    kept = [underlay() for _ in range(50)]
    assert all(list(one.row_us(0)) == ROWS[0] for one in kept)
