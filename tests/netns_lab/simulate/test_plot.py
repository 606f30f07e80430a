"""The plot is well-formed SVG with a line for each figure, inside its frame."""

import re
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from netns_lab.simulate.plot import _scale, as_svg

SVG = "{http://www.w3.org/2000/svg}"


def found(rounds: int, **changed: object) -> dict[str, object]:
    names: tuple[str, ...] = (
        "mean_ms",
        "direct_mean_ms",
        "best_mean_ms",
        "median_ratio_best",
        "p99_ratio_best",
    )
    names += ("faster_than_direct", "reachable")
    one: dict[str, object] = {name: 1.0 + k for k, name in enumerate(names)} | changed
    return {
        "delays": "<a & b>", "nodes": 5, "rule": "ours", "tunnels": 3,
        "start": one, "rounds": [one] * rounds,
    }  # fmt: skip


def test_there_is_a_line_for_each_figure_inside_the_frame() -> None:
    root = ElementTree.fromstring(as_svg(found(10)))
    lines = root.findall(f"{SVG}polyline")
    assert len(lines) == 7
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    for line in lines:
        points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        assert len(points) == 11
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
    assert "<a & b>" in "".join(root.itertext())


def test_figures_that_do_not_exist_are_left_out() -> None:
    svg = as_svg(found(1, mean_ms=None))
    assert "nan" not in svg.lower()
    assert re.search(r'<polyline points=""', svg)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_scales_hold_their_values_in_round_steps(a: float, b: float) -> None:
    low, high, step = _scale(min(a, b), max(a, b))
    slack = 1e-9 * max(1.0, high)
    assert low <= min(a, b) + slack
    assert high >= max(a, b) - slack
    assert 1 <= round((high - low) / step) <= 12
    assert f"{step:e}"[:8] in {"1.000000", "2.000000", "5.000000"}
