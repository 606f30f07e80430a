"""An operator sees every mistake with its place, or as many as fit on a screen."""

from pathlib import Path

import pytest

from netns_lab.simulate.mistakes import SHOWN, Mistakes
from re6st_core.errors import ConfigError


def test_each_mistake_has_its_place() -> None:
    mistakes = Mistakes(Path("m.csv"))
    mistakes.check()
    mistakes.add("is empty")
    mistakes.add("3 values", line=2)
    mistakes.add("no value", line=2, column=7)
    with pytest.raises(ConfigError) as caught:
        mistakes.check()
    assert caught.value.problems == (
        "m.csv: is empty", "m.csv: line 2: 3 values", "m.csv: line 2, column 7: no value",
    )  # fmt: skip


def test_the_list_ends_and_says_how_many_more() -> None:
    mistakes = Mistakes(Path("m.csv"))
    for line in range(1000):
        mistakes.add("no value", line=line)
    with pytest.raises(ConfigError) as caught:
        mistakes.stop()
    assert len(caught.value.problems) == SHOWN + 1
    assert caught.value.problems[-1] == f"m.csv: and {1000 - SHOWN} mistakes more"
