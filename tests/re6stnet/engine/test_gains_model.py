"""The reference itself, on a choice that can be worked out by hand."""

from re6stnet.engine.gains import INFINITE
from re6stnet.engine.gains_model import model_believe, model_gains, model_total


def test_one_candidate_and_two_tunnels() -> None:
    via = [[100, 300], [200, 250]]
    assert model_total([1, 1], via) == 350
    gain, theirs, loss, swap = model_gains([1, 1], via, [[40, 500]], [10])
    assert gain == [50]
    assert theirs == [500 - 260]
    assert loss == [100, 50]
    assert swap == [50, 0]


def test_without_any_tunnel_nothing_is_reached() -> None:
    assert model_total([2], []) == 2 * INFINITE
    assert model_gains([2], [], [[5]], [1])[0] == [2 * (INFINITE - 6)]


def test_what_is_said_is_believed_within_the_route_to_who_says_it() -> None:
    assert model_believe([[100, 300], [200, 250]], [[0, 65535]], [60]) == [[40, 310]]
    assert model_believe([], [[0, 65535]], [60]) == [[0, 65535]]
