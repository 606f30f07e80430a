"""The folder of a report exists whole or not at all."""

import errno
import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from netns_lab.stage.report import ReportFolder, default_folder
from re6st_core.errors import ConfigError

REPORT: dict[str, Any] = {
    "scenario": "test",
    "verdict": "pass",
    "expected": "pass",
    "duration_s": 1.0,
    "figures": {},
    "events": [],
    "timeline": {"flows": []},
}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_report_is_json_and_a_picture(tmp_path: Path) -> None:
    with ReportFolder(tmp_path / "deep" / "report") as folder:
        assert not folder.folder.exists()
        folder.write(REPORT)
    assert names(tmp_path / "deep") == ["report"]
    assert names(tmp_path / "deep" / "report") == ["report.json", "timeline.svg"]
    assert json.loads((tmp_path / "deep" / "report" / "report.json").read_text()) == REPORT


def test_what_was_not_written_leaves_nothing(tmp_path: Path) -> None:
    for folder in (tmp_path / "report", tmp_path / "deep" / "er" / "report", tmp_path):
        with ReportFolder(folder):
            pass
        assert names(tmp_path) == []


@pytest.mark.root
def test_an_empty_directory_is_filled_also_when_a_disk_is_mounted_there(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path], check=True)
    try:
        with ReportFolder(tmp_path) as folder:
            folder.write(REPORT)
        assert names(tmp_path) == ["report.json", "timeline.svg"]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_folder_with_something_in_it_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(ConfigError, match="not an empty directory"), ReportFolder(tmp_path):
        pass
    assert names(tmp_path) == ["mine"]


def test_a_place_that_cannot_be_written_is_known_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="can't be written"), ReportFolder(tmp_path / "file" / "report"):
        pass


def test_a_full_disk_is_one_clear_error_without_leftovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left on device"), ReportFolder(tmp_path / "report") as f:
        f.write(REPORT)
    assert names(tmp_path) == []


def test_of_the_reports_without_a_place_of_their_own_the_newest_are_kept(tmp_path: Path) -> None:
    for i in range(12):
        with ReportFolder(tmp_path / f"2026-01-{i + 1:02}", prune=True) as folder:
            folder.write(REPORT)
    assert names(tmp_path) == [f"2026-01-{i:02}" for i in range(3, 13)]


def test_the_default_place_has_scenario_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_folder("x", now=now) == Path("/var/lib/netns-lab/reports/x/2026-01-02T03:04:05Z")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_folder("x", now=now) == Path("/state/netns-lab/reports/x/2026-01-02T03:04:05Z")
