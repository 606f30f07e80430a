"""A daemon is replaced by a version that starts, and by no other."""

import asyncio
import os
import sys

import pytest

from re6st_core.errors import ConfigError
from re6stnet.adapters import restart


async def test_a_version_that_does_not_start_is_refused_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", "raise SystemExit('no such option')"])
    with pytest.raises(ConfigError, match="does not start: no such option"):
        await restart.prepare()


async def test_a_version_that_hangs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(restart, "CHECK_S", 0.2)
    with pytest.raises(ConfigError, match=r"within 0\.2 s"):
        await restart.prepare()


async def test_the_process_becomes_the_new_version_with_the_same_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-c", "pass", "@re6stnet.conf"])
    monkeypatch.setattr(restart, "TELL_FIRST_S", 0)
    became: asyncio.Future[tuple[str, list[str]]] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(os, "execv", lambda path, argv: became.set_result((path, argv)))
    assert "tunnels" in await restart.prepare()
    async with asyncio.timeout(5):
        assert await became == (sys.executable, [sys.executable, "-c", "pass", "@re6stnet.conf"])


async def test_a_python_that_is_gone_leaves_the_old_version_running(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    restart.replace()
    assert "cannot restart" in caplog.text
