"""A file that comes is noticed, whether it comes before or after the question."""

import asyncio
from pathlib import Path

import pytest

from re6st_core.errors import RouterError
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
