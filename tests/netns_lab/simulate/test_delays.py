"""A sample of hosts keeps the delays between them."""

from array import array

from netns_lab.simulate.delays import Delays


def test_some_hosts_keep_their_delays_in_every_slice() -> None:
    slices = tuple(array("i", (k * (10 * a + b) for a in range(4) for b in range(4))) for k in (1, 2))
    some = Delays("d", 4, slices).only([1, 3])
    assert [list(matrix) for matrix in some.matrices] == [[11, 13, 31, 33], [22, 26, 62, 66]]
    assert some.nodes == 2
    assert some.notes == ("2 of 4 hosts, drawn at random",)
    assert [list(underlay.row_us(1)) for underlay in some.underlays()] == [[31, 33], [62, 66]]
