"""A file that comes is noticed, whether it comes before or after the question."""

import asyncio
import ctypes
import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from re6st_core.errors import RouterError
from re6stnet.adapters import inotify
from re6stnet.adapters.inotify import wait_for_file


async def test_file_that_exists_needs_no_waiting(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    await wait_for_file(tmp_path / "here")


async def test_file_that_comes_is_noticed_and_others_are_not_taken_for_it(tmp_path: Path) -> None:
    waiting = asyncio.create_task(wait_for_file(tmp_path / "wanted"))
    await asyncio.sleep(0)
    (tmp_path / "other").touch()
    await asyncio.sleep(0)
    assert not waiting.done()
    (tmp_path / "other").rename(tmp_path / "wanted")
    await asyncio.wait_for(waiting, 5)


async def test_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RouterError, match="nowhere"):
        await wait_for_file(tmp_path / "nowhere" / "file")


async def test_a_host_without_instances_is_told_what_to_raise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inotify, "_libc", SimpleNamespace(inotify_init1=lambda _flags: -1))
    ctypes.set_errno(errno.EMFILE)
    with pytest.raises(RouterError, match=r"Too many open files: .*fs\.inotify\.max_user_instances"):
        await wait_for_file(tmp_path / "file")
