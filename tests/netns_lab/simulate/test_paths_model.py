"""The C functions do what the plain Python beside them does, for any overlay and any underlay."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from netns_lab.simulate.overlay import Overlay
from netns_lab.simulate.paths import INFINITE, find_routes
from netns_lab.simulate.paths_model import model_best_us, model_pair_us, model_routes
from netns_lab.simulate.underlay import DETOURS, Places, Underlay


@st.composite
def overlays(draw: st.DrawFn) -> Overlay:
    """Connected or not, some nodes alone."""
    nodes = draw(st.integers(1, 12))
    overlay = Overlay(nodes)
    ends = st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1))
    for a, b in draw(st.lists(ends, max_size=30)):
        if a != b and b not in overlay.peers(a):
            overlay.open(a, b)
    return overlay


@given(overlays(), st.data())
def test_native_routes_follow_the_model(overlay: Overlay, data: st.DataObject) -> None:
    arcs = overlay.arcs()
    # Few values, so that equal metrics are common; large ones, so that metrics reach infinity.
    costs = st.sampled_from([1, 2, 3, 300, INFINITE // 2, INFINITE - 1])
    count = len(arcs.to)
    cost = array("i", data.draw(st.lists(costs, min_size=count, max_size=count)))
    rtts = st.integers(0, 60_000_000)
    rtt_us = array("i", data.draw(st.lists(rtts, min_size=count, max_size=count)))
    sampled = sorted(data.draw(st.sets(st.integers(0, overlay.nodes - 1))))
    relay_us = data.draw(st.sampled_from([0, 300]))

    carried, paths = find_routes(arcs, cost=cost, rtt_us=rtt_us, sampled=sampled, relay_us=relay_us)

    expected = [0] * count
    for destination in range(overlay.nodes):
        through, path_us, hops = model_routes(arcs, cost, rtt_us, relay_us, destination)
        for arc, routes in through.items():
            expected[arc] += routes
        if destination in sampled:
            row = slice(
                sampled.index(destination) * overlay.nodes, (sampled.index(destination) + 1) * overlay.nodes
            )
            assert list(paths.rtt_us[row]) == path_us
            assert list(paths.hops[row]) == hops
    assert list(carried) == expected
    assert len(paths.rtt_us) == len(paths.hops) == len(sampled) * overlay.nodes


_COORDINATE = st.floats(-1, 1)


@st.composite
def places(draw: st.DrawFn) -> Places:
    """Anywhere, also twice at the same place and opposite to each other."""
    points = draw(st.lists(st.tuples(_COORDINATE, _COORDINATE, _COORDINATE), min_size=2, max_size=6))
    points = [p for p in points if sum(x * x for x in p) > 1e-6] or [(1.0, 0.0, 0.0)]
    points += [(-x, -y, -z) for x, y, z in points[:1]]
    unit = [[x / sum(y * y for y in p) ** 0.5 for x in p] for p in points]
    access = st.lists(st.floats(0, 50_000), min_size=len(unit), max_size=len(unit))
    return Places(
        array("d", [x for p in unit for x in p]),
        array("d", draw(access)),
        60_000.0,
        array("d", (1 + k / DETOURS for k in range(DETOURS))),
        draw(st.integers(0, 2**64 - 1)),
    )


@given(places())
def test_native_distances_follow_the_model_and_are_symmetric(source: Places) -> None:
    nodes = len(source.access_us)
    underlay = Underlay(nodes, source)
    for a in range(nodes):
        row = underlay.row_us(a)
        assert list(row) == [model_pair_us(source, a, b) for b in range(nodes)]
        assert all(underlay.row_us(b)[a] == row[b] for b in range(nodes))


@st.composite
def matrices(draw: st.DrawFn) -> list[list[int]]:
    """Symmetric; not like distances at all."""
    nodes = draw(st.integers(1, 9))
    rows = [[0] * nodes for _ in range(nodes)]
    for a in range(nodes):
        for b in range(a):
            rows[a][b] = rows[b][a] = draw(st.integers(1, 1000) | st.just(60_000_000))
    return rows


@given(matrices(), st.sampled_from([0, 1, 50]))
def test_native_best_paths_follow_the_model(rows: list[list[int]], relay_us: int) -> None:
    underlay = Underlay(len(rows), array("i", (us for row in rows for us in row)))
    best = underlay.best_us(range(len(rows)), relay_us)
    assert list(best) == [us for source in range(len(rows)) for us in model_best_us(rows, source, relay_us)]
