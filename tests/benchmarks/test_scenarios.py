"""Each scenario leaves a result; one that is known not to pass yet is as expected when it fails."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.evidence import SCENARIO
from benchmarks.result import read
from benchmarks.scenarios import main, measured
from netns_lab.scenarios import SCENARIOS
from re6st_core.errors import RouterError

NAME = next(iter(SCENARIOS))


def report(verdict: str = "pass", **fields: object) -> dict[str, Any]:
    figures = {
        "pairs": {"value": 56, "unit": "", "bound": ">= 56", "met": True},
        "late": {"value": 0.1, "unit": "ms", "bound": None, "met": True},
    }
    return {"scenario": NAME, "verdict": verdict, "figures": figures, "events": [], **fields}


def test_verdict_and_figures_are_left_with_the_command(tmp_path: Path) -> None:
    assert main([NAME, "--results", str(tmp_path)], lambda name: report()) == 0
    result = read(tmp_path / f"{SCENARIO}{NAME}.json")
    assert result.command == f"netns-lab run {NAME} --json"
    assert [(each.name, each.value, each.bound, each.met) for each in result.figures] == [
        ("verdict", "pass", "pass", True),
        ("pairs", 56, ">= 56", True),
        ("late", 0.1, None, None),
    ]


def test_a_failed_scenario_is_told_by_the_exit_status_and_in_its_result(tmp_path: Path) -> None:
    failed = report("fail", failures=["pairs: 55"])
    assert main([NAME, "--results", str(tmp_path)], lambda name: failed) == 1
    assert read(tmp_path / f"{SCENARIO}{NAME}.json").notes == ("FAILED: pairs: 55",)


def test_one_that_leaves_no_report_is_a_failure(tmp_path: Path) -> None:
    def play(name: str) -> dict[str, Any]:
        raise RouterError(f"{name} printed no report")

    assert main([NAME, "--results", str(tmp_path)], play) == 1
    assert read(tmp_path / f"{SCENARIO}{NAME}.json").failure == f"{NAME} printed no report"


def test_an_expected_failure_is_as_expected_and_says_why() -> None:
    not_yet = {"issue": 4, "why": "the peer is told too late", "reached": {"pairs": "55"}}
    made = measured(report("fail", expected="fail", not_yet=not_yet))
    assert (made.figures[0].value, made.figures[0].met) == ("fail, as expected", True)
    assert made.notes == ["expected to fail (issue 4): the peer is told too late"]
    assert measured(report("pass", expected="fail", not_yet=not_yet)).figures[0].met is False


def test_an_unknown_scenario_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["no_such", "--results", str(tmp_path)])
