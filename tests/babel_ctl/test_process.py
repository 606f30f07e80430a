"""Processes outlive us, are found again, and are never mistaken for others."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from babel_ctl.process import DetachedProcess, ProcessIdent
from re6st_core.errors import ConfigError


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


async def test_a_child_writes_to_its_log_and_its_exit_status_is_seen(log: Path) -> None:
    log.write_text("before\n")
    process = DetachedProcess.spawn(["sh", "-c", "echo out; echo err >&2; exit 3"], log=log)
    assert await process.wait() == 3
    assert await process.wait() == 3
    assert not process.alive
    assert log.read_text() == "before\nout\nerr\n"


async def test_a_child_has_a_session_of_its_own_and_none_of_our_pipes(log: Path) -> None:
    process = DetachedProcess.spawn(["sleep", "60"], log=log)
    assert os.getsid(process.pid) == process.pid
    files = {os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{process.pid}/fd")}
    assert files == {"/dev/null", str(log)}
    assert await process.stop() == -signal.SIGTERM


async def test_one_that_ignores_termination_is_killed(log: Path, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    process = DetachedProcess.spawn(
        ["sh", "-c", f"trap '' TERM; echo > {ready}; while :; do sleep 60; done"], log=log
    )
    await asyncio.to_thread(ready.read_text)
    assert await process.stop(grace_s=0.05) == -signal.SIGKILL


async def test_a_running_process_is_adopted_from_what_was_written_down(log: Path) -> None:
    first = DetachedProcess.spawn(["sleep", "60"], log=log)
    ident = msgspec.json.decode(msgspec.json.encode(first.ident), type=ProcessIdent)
    second = DetachedProcess.adopt(ident)
    assert second is not None
    assert second.alive
    await first.stop()
    assert await second.wait() is None  # somebody else had its status


async def test_a_process_that_is_not_our_child_can_be_waited_for(log: Path, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    parent = DetachedProcess.spawn(["sh", "-c", f"sleep 60 & echo $! > {pid_file}"], log=log)
    await parent.wait()
    pid = int(pid_file.read_text())
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    orphan = DetachedProcess.adopt(replace(parent.ident, pid=pid, start_ticks=ticks))
    assert orphan is not None
    assert await orphan.stop() is None
    assert not orphan.alive


async def test_a_dead_process_a_reused_pid_and_another_boot_are_not_adopted(log: Path) -> None:
    process = DetachedProcess.spawn(["sleep", "60"], log=log)
    ident = process.ident
    assert DetachedProcess.adopt(replace(ident, start_ticks=ident.start_ticks - 1)) is None
    assert DetachedProcess.adopt(replace(ident, boot_id="another")) is None
    process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    assert DetachedProcess.adopt(ident) is None
    process.send_signal(signal.SIGTERM)  # of no effect


async def test_a_released_process_runs_on(log: Path) -> None:
    process = DetachedProcess.spawn(["sleep", "60"], log=log)
    process.release()
    with pytest.raises(RuntimeError):
        await process.wait()
    again = DetachedProcess.adopt(process.ident)
    assert again is not None
    await again.stop()
    assert not Path(f"/proc/{process.pid}").exists()  # reaped: no zombie is left


async def test_missing_programs_and_logs_are_the_operators_to_mend(log: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="/nowhere/openvpn: install the Debian package openvpn"):
        DetachedProcess.spawn(["/nowhere/openvpn"], log=log)
    with pytest.raises(ConfigError, match="cannot start"):
        DetachedProcess.spawn([str(tmp_path)], log=log)
    with pytest.raises(ConfigError, match="cannot open log file"):
        DetachedProcess.spawn(["true"], log=tmp_path / "missing" / "log")


async def test_no_descriptor_is_left_behind(log: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await DetachedProcess.spawn(["true"], log=log).wait()
    assert len(os.listdir("/proc/self/fd")) == before
