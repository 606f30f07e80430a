"""The switch is measured from outside and by itself, and a link does what it is asked for."""

from pathlib import Path

import pytest

from benchmarks.result import read, run
from benchmarks.switch import measure, parser, topology


def test_the_sites_are_the_same_each_time() -> None:
    assert topology(8) == topology(8)
    assert all(10 <= topology(8).links[a][b].delay_ms <= 100 for a in range(8) for b in range(8) if a != b)


@pytest.mark.root
def test_a_short_run_measures_everything_but_the_highest_rate(tmp_path: Path) -> None:
    run("switch", "?", parser(), measure, ["--quick", "--rate", "2000", "--results", str(tmp_path)])
    result = read(tmp_path / "switch.json")
    assert result.failure is None
    values = {(each.of.partition(",")[0], each.name): each.value for each in result.figures}
    assert all(isinstance(value, int | float) and value >= 0 for value in values.values()), values
    assert values["delay only", "lost unasked"] == values["jitter", "lost unasked"] == 0
    assert values["10 sites find each other", "pairs that did"] == 100
