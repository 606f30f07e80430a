"""A small star is watched for a short time."""

import os
from pathlib import Path

import pytest

from benchmarks.idle import HUB, OTHERS_OPEN, measure, parser, processor_s, star
from benchmarks.result import read, run


def test_the_hub_opens_many_tunnels_the_others_few() -> None:
    wanted = {node: star(4).node(node).client_count for node in star(4).nodes}
    assert wanted.pop(HUB) == 4
    assert set(wanted.values()) == {OTHERS_OPEN}


def test_processor_time_grows_with_work_and_ends_with_the_process() -> None:
    before = processor_s(os.getpid())
    while processor_s(os.getpid()) == before:
        pass
    assert processor_s(2**22 + 1) == 0


@pytest.mark.root
def test_a_short_run_tells_what_an_idle_node_costs(tmp_path: Path) -> None:
    run("idle", "?", parser(), measure, ["--quick", "--results", str(tmp_path)])
    result = read(tmp_path / "idle.json")
    assert result.failure is None
    values = {each.name: each.value for each in result.figures}
    assert values.keys() >= {"daemon", "daemon's memory", "babeld", "sent, everything"}
    assert all(isinstance(value, int | float) and value >= 0 for value in values.values())
