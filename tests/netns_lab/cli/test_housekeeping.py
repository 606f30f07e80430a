"""What there is to run, and who is told so."""

import json
from pathlib import Path

import pytest

from netns_lab import cleanup
from netns_lab.cli import main


def test_list_names_the_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert capsys.readouterr().out.startswith("demo ")


def test_list_is_one_json_object_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cleanup, "RUN_DIR", tmp_path)
    record = cleanup.register("mine", tmp_path / "lab")
    assert main(["list", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert "relay_dies" in {scenario["name"] for scenario in said["scenarios"]}
    (lab,) = said["labs"]
    assert (lab["id"], lab["label"], lab["alive"]) == (record.lab_id, "mine", True)
