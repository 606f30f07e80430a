"""Which lab is meant: by label, by id, or the only one; all else is explained."""

import os
from pathlib import Path

import pytest

from netns_lab import cleanup
from netns_lab.control import labs
from re6st_core.errors import ConfigError


@pytest.fixture(autouse=True)
def no_other_labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "RUN_DIR", tmp_path / "run")
    monkeypatch.setattr(labs, "NETNS_DIR", tmp_path / "netns")
    monkeypatch.delenv("NETNS_LAB", raising=False)
    (tmp_path / "netns").mkdir()


def test_the_only_lab_needs_no_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no lab is up"):
        labs.find(None)
    record = cleanup.register("demo", tmp_path / "demo")
    assert labs.find(None) == labs.find("demo") == labs.find(record.lab_id) == record
    with pytest.raises(ConfigError, match=f"no lab 'other' is up; there are: demo .{record.lab_id}"):
        labs.find("other")


def test_several_labs_must_be_told_apart_by_name_id_or_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cleanup.register("demo", tmp_path / "first")
    second = cleanup.register("demo", tmp_path / "second")
    third = cleanup.register("other", tmp_path / "third")
    with pytest.raises(ConfigError, match="say which"):
        labs.find(None)
    with pytest.raises(ConfigError, match=f"use an id: .*{first.lab_id}"):
        labs.find("demo")
    assert labs.find(second.lab_id) == second
    monkeypatch.setenv("NETNS_LAB", "other")
    assert labs.find(None) == third


def test_a_machine_is_found_by_lab_and_name_and_close_ones_are_suggested(tmp_path: Path) -> None:
    record = cleanup.register("demo", tmp_path / "demo")
    for name in ("n1", "home-box", "internet"):
        (tmp_path / "netns" / record.namespace(name)).touch()
    assert labs.find_machine("demo:n1") == labs.find_machine("n1") == (record, "n1")
    assert labs.machine_names(record) == ["home-box", "internet", "n1"]
    with pytest.raises(ConfigError, match="did you mean home-box"):
        labs.find_machine("home-bax")
    with pytest.raises(ConfigError, match="no machine 'zzz'; there are: home-box, internet, n1"):
        labs.find_machine("demo:zzz")
    assert labs.machine(record, "n1").directory == tmp_path / "demo" / "n1"


def test_a_dead_lab_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cleanup.register("demo", tmp_path / "demo")
    monkeypatch.setattr(cleanup, "process_start", lambda pid: None if pid == os.getpid() else 1)
    assert labs.running() == []
