"""The engine's view of Babel's table, against a simple model."""

from hypothesis import given
from hypothesis import strategies as st

from re6st_core.prefix import Prefix
from re6stnet.engine.messages import RouteChange
from re6stnet.engine.routes import RouteTable

A, B = Prefix(16, 1), Prefix(16, 2)


def test_a_tunnel_that_alone_reaches_somebody_is_not_expendable() -> None:
    table = RouteTable()
    table.apply([RouteChange(A, "t", 10, True), RouteChange(A, "u", 20), RouteChange(B, "t", 10, True)])
    assert list(table.lost_without("t")) == [B]
    assert not table.expendable("t")
    table.apply([RouteChange(B, "u", 30)])
    assert table.expendable("t")
    assert table.carried("t") == {A, B}


def test_what_a_neighbour_reaches_through_us_is_no_other_way() -> None:
    table = RouteTable()
    echo = RouteChange(A, "u", 300, refmetric=200)  # its link costs 100: 100 to us, and 100 of ours
    table.apply([RouteChange(A, "t", 100, True), echo])
    assert not table.expendable("t")
    table.apply([RouteChange(A, "u", 210, refmetric=110)])  # a way of its own, though not feasible
    assert table.expendable("t")


def test_a_way_that_got_worse_does_not_make_its_echo_another_way() -> None:
    table = RouteTable()
    table.apply([RouteChange(A, "t", 100, True), RouteChange(A, "u", 300, refmetric=200)])
    table.apply([RouteChange(A, "t", 180, True)])
    assert not table.expendable("t")


def test_a_route_that_only_a_newer_sequence_number_allows_begins_anew() -> None:
    table = RouteTable()
    table.apply([RouteChange(A, "t", 100, True, 50), RouteChange(A, "t", None)])
    table.apply([RouteChange(A, "u", 500, True, 400), RouteChange(A, "v", 350, refmetric=300)])
    assert table.expendable("u")


def test_only_destinations_whose_reachability_turned_are_told() -> None:
    table = RouteTable()
    assert table.apply([RouteChange(A, "t", 10, True)]) == {A}
    assert table.apply([RouteChange(A, "t", 12, True)]) == set()
    assert table.apply([RouteChange(A, "t", None), RouteChange(A, "u", 20, True)]) == set()
    assert table.apply([RouteChange(A, "u", None)]) == {A}
    assert not table.reachable


changes = st.builds(
    RouteChange,
    st.sampled_from([A, B]),
    st.sampled_from(["t", "u", "v"]),
    st.one_of(st.none(), st.integers(1, 1000)),
    st.booleans(),
    st.integers(0, 1000),
)


@given(st.lists(changes, max_size=60))
def test_the_table_agrees_with_a_plain_model(sequence: list[RouteChange]) -> None:
    table = RouteTable()
    known: dict[tuple[Prefix, str], tuple[int, int]] = {}
    installed: dict[Prefix, str] = {}
    for change in sequence:
        table.apply([change])
        if change.metric is None:
            known.pop((change.destination, change.tunnel), None)
        else:
            known[change.destination, change.tunnel] = change.metric, change.refmetric
        if change.installed and change.metric is not None:
            installed[change.destination] = change.tunnel
        elif installed.get(change.destination) == change.tunnel:
            del installed[change.destination]
    assert table.reachable == installed.keys()
    for tunnel in "tuv":
        carried = {d for d, t in installed.items() if t == tunnel}
        assert table.carried(tunnel) == carried
        alone = {d for d in carried if sum(d == e for e, _ in known) <= 1}
        assert alone <= set(table.lost_without(tunnel)) <= carried
