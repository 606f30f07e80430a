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
    assert not table.expendable("t")
    table.apply([RouteChange(B, "u", 30)])
    assert table.expendable("t")
    assert table.carried("t") == {A, B}


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
)


@given(st.lists(changes, max_size=60))
def test_the_table_agrees_with_a_plain_model(sequence: list[RouteChange]) -> None:
    table = RouteTable()
    metric: dict[tuple[Prefix, str], int] = {}
    installed: dict[Prefix, str] = {}
    for change in sequence:
        table.apply([change])
        if change.metric is None:
            metric.pop((change.destination, change.tunnel), None)
        else:
            metric[change.destination, change.tunnel] = change.metric
        if change.installed and change.metric is not None:
            installed[change.destination] = change.tunnel
        elif installed.get(change.destination) == change.tunnel:
            del installed[change.destination]
    assert table.reachable == installed.keys()
    for tunnel in "tuv":
        carried = {d for d, t in installed.items() if t == tunnel}
        assert table.carried(tunnel) == carried
        alone = any(sum(d == e for e, _ in metric) <= 1 for d in carried)
        assert table.expendable(tunnel) == (not alone)
