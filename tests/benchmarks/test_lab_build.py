"""Labs of every shape, and a small mesh, are timed from nothing to nothing."""

from pathlib import Path

import pytest

from benchmarks.lab_build import SHAPES, measure, parser, shape
from benchmarks.result import read, run


def test_shapes_are_alike_sites() -> None:
    behind = shape({"count": 2, "nat": "symmetric"})
    assert [site.nat for site in behind.sites] == ["symmetric", "symmetric"]


@pytest.mark.root
def test_a_short_run_times_every_shape_and_a_mesh(tmp_path: Path) -> None:
    run("lab_build", "?", parser(), measure, ["--quick", "--results", str(tmp_path)])
    result = read(tmp_path / "lab_build.json")
    assert result.failure is None
    values = {(each.of, each.name): each.value for each in result.figures}
    assert values.keys() >= {(name, kind) for name in SHAPES for kind in ("built", "removed")}
    assert values["3 real nodes", "processes"]
    assert all(isinstance(value, int | float) and value > 0 for value in values.values())
