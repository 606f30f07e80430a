"""The suite: one object with all, a table, and what somebody should do something about."""

import io
from typing import Any

from rich.console import Console

from netns_lab.scenarios.performance import Result
from netns_lab.scenarios.scenario import Outcome
from netns_lab.scenarios.suite import passed, remarks, suite_report, table_of


def result(name: str, outcome: Outcome, *, met: bool, now_met: tuple[str, ...] = ()) -> Result:
    report: dict[str, Any] = {
        "scenario": name,
        "verdict": "pass" if met else "fail",
        "expected": "pass",
        "figures": {"blackout": {"value": 2.0, "unit": "s", "bound": "<= 1", "met": met}},
        "failures": [] if met else ["blackout: 2 s"],
        "duration_s": 10.0,
    }
    if outcome is not Outcome.WORSE and not met:
        report |= {"expected": "fail", "not_yet": {"issue": 4, "sometimes": name == "seldom"}}
    return Result(name, outcome, met, False, report, now_met, None)


GOOD = result("good", Outcome.AS_EXPECTED, met=True)
KNOWN = result("known", Outcome.AS_EXPECTED, met=False)
BAD = result("bad", Outcome.WORSE, met=False)
MENDED = result("mended", Outcome.BETTER, met=True, now_met=("blackout",))


def test_a_suite_passes_when_everything_is_as_expected() -> None:
    assert passed([GOOD, KNOWN])
    assert not passed([GOOD, BAD])
    assert not passed([MENDED])


def test_one_object_has_the_reports_of_all() -> None:
    report = suite_report([GOOD, KNOWN])
    assert report["verdict"] == "pass"
    assert report["duration_s"] == 20.0
    assert [each["scenario"] for each in report["scenarios"]] == ["good", "known"]


def test_the_table_shows_verdict_expectation_and_bounds() -> None:
    output = io.StringIO()
    Console(file=output, width=200).print(table_of([GOOD, KNOWN, BAD]))
    for words in ("fail (issue 4)", "worse than expected", "blackout 2 s (<= 1) missed"):
        assert words in output.getvalue()


def test_what_is_worse_or_better_than_expected_is_said() -> None:
    part = result("part", Outcome.AS_EXPECTED, met=False, now_met=("lost",))
    seldom = result("seldom", Outcome.AS_EXPECTED, met=False, now_met=("lost",))
    lines = remarks([GOOD, KNOWN, BAD, MENDED, part, seldom])
    assert [line.partition(":")[0] for line in lines] == ["bad", "mended", "part"]
    assert "PASSES NOW" in lines[1]
    assert "lost" in lines[2]
