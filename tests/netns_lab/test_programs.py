"""What is missing is named at once, with the command that installs it."""

import sys
from pathlib import Path

import pytest

from netns_lab import programs
from re6st_core.errors import ConfigError, RouterError


def test_missing_programs_are_named_with_their_packages() -> None:
    with pytest.raises(ConfigError) as caught:
        programs.require({"sh": "dash", "no-such-a": "pkg-a", "no-such-b": "pkg-b"}, euid=0)
    (problem,) = caught.value.problems
    assert problem == "no-such-a, no-such-b not found, as root: apt-get install -y pkg-a pkg-b"


def test_what_a_user_s_path_lacks_is_found_when_required_and_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    programs.require({"sysctl": "procps"}, euid=0)
    assert programs.run(["sh", "-c", "command -v sysctl"]).strip().endswith("sbin/sysctl")
    monkeypatch.setenv("PATH", "/sbin:/usr/sbin:/usr/bin:/bin")
    assert programs.own_environment()["PATH"] == "/sbin:/usr/sbin:/usr/bin:/bin"


def test_not_root_is_said() -> None:
    with pytest.raises(ConfigError, match="need root"):
        programs.require({"sh": "dash"}, euid=1000)


def test_our_commands_are_scripts_beside_the_interpreter_or_else_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert "from re6stnet.cli.show import main" in programs.own("re6st")[2]
    (tmp_path / "re6st").touch()
    assert programs.own("re6st") == [str(tmp_path / "re6st")]


def test_a_program_that_hangs_or_is_absent_is_a_router_error() -> None:
    with pytest.raises(RouterError, match="timed out"):
        programs.run(["tail", "-f", "/dev/null"], timeout_s=0.1)
    with pytest.raises(RouterError, match="No such file"):
        programs.run(["/no/such/program"])
