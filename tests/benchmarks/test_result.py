"""A benchmark leaves what it measured, or that it failed, and never something in between."""

import argparse
import json
from pathlib import Path

import pytest

from benchmarks.result import Figure, Measured, commit, figure, machine, read, run
from re6st_core.errors import ConfigError, RouterError


def play(tmp_path: Path, measured: Measured | BaseException, *argv: str) -> int:
    """Run a benchmark that measures this."""

    def measure(options: argparse.Namespace) -> Measured:
        if isinstance(measured, BaseException):
            raise measured
        return measured

    return run("speed", "How fast?", argparse.ArgumentParser(), measure, ["--results", str(tmp_path), *argv])


@pytest.mark.parametrize(
    ("value", "at_most", "at_least", "bound", "met"),
    [
        (1.0, None, None, None, None),
        (1.0, 1, None, "<= 1", True),
        (1.1, 1, None, "<= 1", False),
        (1.0, None, 2, ">= 2", False),
        (3.0, 4, 2, "<= 4 and >= 2", True),
        (None, 4, None, "<= 4", False),
        (None, None, None, None, None),
    ],
)
def test_a_figure_knows_whether_it_meets_its_bound(
    value: float | None, at_most: float | None, at_least: float | None, bound: str | None, met: bool | None
) -> None:
    made = figure("delay", value, "ms", at_most=at_most, at_least=at_least)
    assert (made.bound, made.met) == (bound, met)


def test_what_was_measured_is_read_back_as_it_was(tmp_path: Path) -> None:
    figures = (
        Figure("rate", 9.5, "Mbit/s", of="wire", interval=(9.0, 10.0)),
        figure("p99", 2, "ms", at_most=3),
    )
    assert play(tmp_path, Measured(figures, {"iperf3": "3.12"}, ["One note."]), "--quick") == 0
    result = read(tmp_path / "speed.json")
    assert (result.figures, result.notes, result.failure) == (figures, ("One note.",), None)
    assert result.versions == {"iperf3": "3.12"}
    assert result.command == "python -m benchmarks.speed --quick"
    assert (result.machine, result.commit) == (machine(), commit())


def test_a_missed_bound_is_written_and_ends_with_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert play(tmp_path, Measured([figure("p99", 2, "ms", at_most=1)])) == 1
    assert not read(tmp_path / "speed.json").met
    assert "p99: 2 ms  (<= 1, MISSED)" in capsys.readouterr().out


def test_a_failure_replaces_the_old_figures(tmp_path: Path) -> None:
    assert play(tmp_path, Measured([figure("p99", 2, "ms")])) == 0
    assert play(tmp_path, RouterError("no such program")) == 1
    failed = read(tmp_path / "speed.json")
    assert (failed.figures, failed.failure, failed.met) == ((), "no such program", False)


def test_a_mistake_of_ours_is_written_and_shown(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        play(tmp_path, ZeroDivisionError("by zero"))
    assert read(tmp_path / "speed.json").failure == "ZeroDivisionError: by zero"


def test_json_prints_what_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    play(tmp_path, Measured([figure("p99", 2, "ms")]), "--json")
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "speed.json").read_text())


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"figures": 1, "notes": []}', '{"figures": [{}], "notes": []}']
)
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "speed.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"speed\.json: not a result"):
        read(path)


def test_an_interrupted_run_leaves_the_old_result(tmp_path: Path) -> None:
    assert play(tmp_path, Measured([figure("p99", 2, "ms")])) == 0
    assert play(tmp_path, KeyboardInterrupt()) == 130
    assert read(tmp_path / "speed.json").figures[0].value == 2
