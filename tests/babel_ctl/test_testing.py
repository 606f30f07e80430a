"""The fake babeld has the real one's bad habits (what both do well is in test_client)."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from babel_ctl.testing import FakeBabeld, route_lines


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeBabeld]:
    fake = FakeBabeld(tmp_path / "babeld.sock")
    fake.start()
    yield fake
    fake.stop()


async def talk(fake: FakeBabeld, data: bytes, lines: int) -> list[str]:
    reader, writer = await asyncio.open_unix_connection(fake.path)
    writer.write(data)
    answer = [(await reader.readline()).decode() for _ in range(lines)]
    writer.close()
    await writer.wait_closed()
    return answer


async def test_a_client_that_does_not_read_is_cut_off(fake: FakeBabeld) -> None:
    fake.put(route_lines(20_000))
    with socket.socket(socket.AF_UNIX) as lazy:
        lazy.connect(str(fake.path))
        lazy.sendall(b"monitor\n")
        async with asyncio.timeout(10):
            while not fake.cuts:  # noqa: ASYNC110 - the fake has no event for what the real one cannot tell
                await asyncio.sleep(0.01)


async def test_the_answer_that_failed_sticks_to_those_read_with_it(fake: FakeBabeld) -> None:
    answers = await talk(fake, b"nonsense\nunmonitor\n", 7)
    assert answers[5:] == ["bad\n", "bad\n"]


async def test_a_socket_file_in_the_way_prevents_the_start(fake: FakeBabeld) -> None:
    with pytest.raises(OSError, match="in use"):
        FakeBabeld(fake.path).start()


async def test_it_says_what_the_real_one_says_first(fake: FakeBabeld) -> None:
    assert await talk(fake, b"", 5) == [
        "BABEL 1.0\n", "version babeld-1.12.1\n", "host fake\n", "my-id 02:00:00:00:00:00:00:01\n", "ok\n",
    ]  # fmt: skip
