"""The control socket: answers, refuses, survives rude clients, and is gone with the lab."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from netns_lab.control.client import ask
from netns_lab.control.requests import MAX_LINE, Info, Request, Silence, encode_request
from netns_lab.control.server import MAX_CLIENTS, ControlServer
from re6st_core.errors import ConfigError, RouterError


async def handle(request: Request) -> dict[str, Any]:
    if isinstance(request, Silence):
        raise ConfigError(f"no node {request.node!r}", "and another thing")
    if not isinstance(request, Info):
        raise RouterError("the switch is dead")
    return {"label": "demo"}


async def in_thread(path: Path, request: Request) -> dict[str, Any]:
    return await asyncio.to_thread(ask, path, request)


async def test_what_is_asked_is_answered_and_refusals_have_their_reasons(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    async with ControlServer(path, handle):
        assert await in_thread(path, Info()) == {"label": "demo"}
        with pytest.raises(ConfigError) as caught:
            await in_thread(path, Silence("n9"))
        assert caught.value.problems == ("no node 'n9'", "and another thing")
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()
    with pytest.raises(RouterError, match="does not answer"):
        await in_thread(path, Info())


async def test_one_connection_serves_many_requests_and_garbage_ends_none(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    async with ControlServer(path, handle):
        reader, writer = await asyncio.open_unix_connection(path)
        for line in (b"garbage\n", encode_request(Info()), b"{}\n", encode_request(Info())):
            writer.write(line)
        answers = [await reader.readline() for _ in range(4)]
        assert [b"label" in answer for answer in answers] == [False, True, False, True]
        writer.close()


async def test_a_line_without_end_is_cut_off_and_others_are_served(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    async with ControlServer(path, handle):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"x" * (MAX_LINE + 2))
        assert await reader.read() == b""
        writer.close()
        assert await in_thread(path, Info()) == {"label": "demo"}


async def test_silent_clients_cannot_keep_the_lab_from_ending_and_are_not_too_many(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    clients = []
    async with ControlServer(path, handle):
        for _ in range(MAX_CLIENTS + 1):
            clients.append(await asyncio.open_unix_connection(path))
        reader, _ = clients[-1]
        assert await reader.read() == b""
    for reader, writer in clients:
        assert await reader.read() == b""
        writer.close()


async def test_a_socket_left_by_the_dead_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "x.sock"
    path.touch()
    async with ControlServer(path, handle):
        assert await in_thread(path, Info()) == {"label": "demo"}


async def test_a_place_that_does_not_exist_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        async with ControlServer(tmp_path / "absent" / "x.sock", handle):
            raise AssertionError
