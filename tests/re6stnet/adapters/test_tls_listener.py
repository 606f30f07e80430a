"""Connections that do nothing are closed, and strangers make room for members."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from re6st_core.prefix import Prefix
from re6stnet.adapters import tls_listener
from re6stnet.adapters.tls_listener import TlsListener, peer_cn
from tests.helpers.node_certificates import NETWORK, authority, load, write_node

A, B = Prefix(16, 1), Prefix(16, 2)
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def server(runner: web.AppRunner) -> asyncio.Protocol:
    assert runner.server is not None
    return runner.server()


class Doors:
    """A listener and the means to knock."""

    def __init__(self, listener: TlsListener, port: int, tls: ssl.SSLContext) -> None:
        self.listener = listener
        self.port = port
        self._tls = tls
        self._streams: list[Stream] = []

    async def member(self) -> Stream:
        """A connection whose handshake is over."""
        stream = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self._tls, server_hostname=str(NETWORK.address(B))
        )
        self._streams.append(stream)
        return stream

    async def stranger(self) -> Stream:
        """A connection that says nothing."""
        self._streams.append(await asyncio.open_connection("127.0.0.1", self.port))
        return self._streams[-1]

    async def close(self) -> None:
        for _, writer in self._streams:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def answers(stream: Stream) -> bool:
    reader, writer = stream
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    try:
        return b"200" in await reader.readline() and b"hello 1/16" in await reader.readuntil(b"hello 1/16")
    except (ConnectionError, asyncio.IncompleteReadError):
        return False


async def ends(stream: Stream) -> bool:
    try:
        async with asyncio.timeout(5):
            return await stream[0].read() == b""
    except ConnectionError:
        return True


@contextlib.asynccontextmanager
async def doors(
    tmp_path: Path, *, max_connections: int = 64, handshake_s: float = 10, idle_s: float = 10
) -> AsyncIterator[Doors]:
    ca = authority()
    mine, peer = load(write_node(tmp_path, ca, B, 2)), load(write_node(tmp_path, ca, A, 1))

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=f"hello {peer_cn(request.transport)}")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    listener = TlsListener(
        lambda: server(runner),
        mine.server_context(),
        max_connections=max_connections,
        handshake_s=handshake_s,
        idle_s=idle_s,
    )
    app.middlewares.append(listener.middleware)
    await runner.setup()
    opened = Doors(listener, listener.listen("127.0.0.1", 0), peer.client_context())
    yield opened
    await opened.close()
    await listener.close()
    await runner.cleanup()


async def test_a_member_is_known_by_its_name(tmp_path: Path) -> None:
    async with doors(tmp_path) as d:
        stream = await d.member()
        assert await answers(stream)
        assert await answers(stream)


async def test_who_does_not_shake_hands_in_time_is_sent_away(tmp_path: Path) -> None:
    async with doors(tmp_path, handshake_s=0.05) as d:
        stream = await d.stranger()
        assert await ends(stream)


@pytest.mark.parametrize("requests", [0, 2])
async def test_who_asks_nothing_for_long_is_sent_away(tmp_path: Path, requests: int) -> None:
    async with doors(tmp_path, idle_s=0.1) as d:
        stream = await d.member()
        for _ in range(requests):
            assert await answers(stream)
        assert await ends(stream)


async def test_the_oldest_stranger_makes_room_and_members_stay(tmp_path: Path) -> None:
    async with doors(tmp_path, max_connections=3) as d:
        first = await d.member()
        strangers = [await d.stranger() for _ in range(2)]
        second = await d.member()
        assert await ends(strangers[0])
        third = await d.member()
        assert await ends(strangers[1])
        assert all([await answers(stream) for stream in (first, second, third)])
        late = await d.stranger()
        assert await ends(late)
        first[1].close()
        await first[1].wait_closed()
        assert await answers(await d.member())


async def test_one_member_has_only_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_listener, "MAX_PER_PEER", 2)
    async with doors(tmp_path) as d:
        streams = [await d.member() for _ in range(3)]
        assert [await answers(stream) for stream in streams] == [True, True, False]


async def test_garbage_ends_only_the_connection_that_sends_it(tmp_path: Path) -> None:
    async with doors(tmp_path) as d:
        stream = await d.stranger()
        stream[1].write(b"GET / HTTP/1.0\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await stream[0].read()
        assert await answers(await d.member())


async def test_closing_leaves_no_connection_that_has_only_begun(tmp_path: Path) -> None:
    async with doors(tmp_path) as d:
        streams = [await d.stranger() for _ in range(3)]
        await d.listener.close()
        for stream in streams:
            assert await ends(stream)
        with socket.socket() as again:
            assert again.connect_ex(("127.0.0.1", d.port))
