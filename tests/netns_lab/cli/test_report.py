"""What scenarios have left is found again, the newest first; what is no report is said to be none."""

import json
from pathlib import Path

import pytest

from netns_lab.cli import main

REPORT = {
    "scenario": "relay_dies",
    "verdict": "fail",
    "expected": "fail",
    "figures": {
        "blackout": {"value": 3.4, "unit": "s", "bound": "<= 1", "met": False},
        "lost": {"value": None, "unit": "", "bound": None, "met": True},
    },
    "failures": ["blackout: 3.4 s (bound <= 1)"],
}


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("netns_lab.cli.report.reports_folder", lambda: tmp_path)
    for when, verdict in (("2026-01-01T00:00:00Z", "pass"), ("2026-01-02T00:00:00Z", "fail")):
        folder = tmp_path / "relay_dies" / when
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps({**REPORT, "verdict": verdict}))
    return tmp_path


def test_the_last_report_of_each_scenario_is_listed(
    reports: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report"]) == 0
    said = capsys.readouterr().out
    assert "2026-01-02" in said
    assert "2026-01-01" not in said
    assert "blackout" in said


def test_one_report_shows_figures_against_bounds(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "relay_dies"]) == 0
    said = capsys.readouterr().out
    for part in ("relay_dies: fail", "3.4 s", "<= 1", "MISSED", "not measured", "failed: blackout"):
        assert part in said
    assert main(["report", str(reports / "relay_dies" / "2026-01-01T00:00:00Z"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "pass"


def test_what_is_not_there_or_no_report_is_refused(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "partition"]) == 2
    assert "those are: relay_dies" in capsys.readouterr().err
    for text in ("{", "[]", "{}", json.dumps({"figures": 3, "verdict": "pass"})):
        (reports / "report.json").write_text(text)
        assert main(["report", str(reports)]) == 2
        assert "not a report" in capsys.readouterr().err


def test_before_the_first_run_it_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("netns_lab.cli.report.reports_folder", lambda: tmp_path / "absent")
    assert main(["report"]) == 2
    assert "netns-lab run NAME" in capsys.readouterr().err
