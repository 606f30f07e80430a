"""``make bench`` runs what it is asked for, and what ends without a result leaves one that says so."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.__main__ import NAMES, main
from benchmarks.result import ROOT, read, started


def play(results: Path, statuses: dict[str, int | None], *words: str) -> tuple[int, list[Sequence[str]]]:
    """Run with scripts that only write a result and end; None: killed before it could write."""
    called: list[Sequence[str]] = []

    def run(argv: list[str]) -> int:
        called.append(argv)
        name = argv[2].removeprefix("benchmarks.")
        status = statuses[name]
        if status is None:
            return -9
        started(name, "How fast?", "command").write(results)
        return status

    return main(["--results", str(results), *words], run), called


def test_those_named_are_run_in_order_and_the_page_is_written(tmp_path: Path) -> None:
    status, called = play(tmp_path, {"switch": 0, "data_plane": 0}, "switch", "data_plane", "--quick")
    assert status == 0
    assert called == [
        [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--results", str(tmp_path)]
        for name in ("switch", "data_plane")
    ]
    assert "# Evidence" in (tmp_path / "evidence.md").read_text()


def test_one_that_misses_a_bound_does_not_stop_the_others(tmp_path: Path) -> None:
    status, called = play(tmp_path, {"switch": 1, "data_plane": 0}, "switch", "data_plane")
    assert (status, len(called)) == (1, 2)


def test_a_killed_one_does_not_leave_its_old_result(tmp_path: Path) -> None:
    assert play(tmp_path, {"switch": 0}, "switch")[0] == 0
    assert read(tmp_path / "switch.json").failure is None
    assert play(tmp_path, {"switch": None}, "switch")[0] == 1
    assert read(tmp_path / "switch.json").failure == "ended without a result, exit status -9"
    assert "**FAILED**: ended without a result" in (tmp_path / "evidence.md").read_text()


def test_an_unknown_name_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        play(tmp_path, {}, "swich")


def test_every_script_is_run_by_make_bench() -> None:
    scripts = {
        path.parent.name if path.name == "__main__.py" else path.stem
        for path in (ROOT / "benchmarks").rglob("*.py")
        if "\nif __name__ == " in path.read_text()
    }
    assert scripts - {"benchmarks", "evidence"} <= set(NAMES), "give it a section in benchmarks/sections.py"


def test_an_interrupted_one_ends_the_whole(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        main(["--results", str(tmp_path), "switch", "data_plane"], lambda argv: 130)
    assert list(tmp_path.iterdir()) == []
