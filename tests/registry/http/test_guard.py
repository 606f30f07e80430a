"""Connections on which nothing happens are closed; those in use are not."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from registry.http.guard import Guard


@asynccontextmanager
async def guarded(guard: Guard, release: asyncio.Event) -> AsyncIterator[tuple[str, int]]:
    async def handler(_request: web.Request) -> web.Response:
        await release.wait()
        return web.Response(text="done")

    app = web.Application(middlewares=[guard.middleware])
    app.router.add_get("/", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    assert runner.server is not None
    bound = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.get_running_loop().create_server(guard.watched(runner.server), sock=bound)
    try:
        yield bound.getsockname()
    finally:
        server.close()
        await runner.cleanup()


async def closed(address: tuple[str, int], *sent: bytes) -> bytes:
    """Everything that comes until the server closes."""
    reader, writer = await asyncio.open_connection(*address)
    for data in sent:
        writer.write(data)
    received = b""
    try:
        async with asyncio.timeout(5):
            while data := await reader.read(65536):
                received += data
    except ConnectionResetError:
        pass  # cut, which is one way to close
    finally:
        writer.close()
    return received


async def test_silence_half_a_header_and_a_second_one_are_cut() -> None:
    release = asyncio.Event()
    release.set()
    async with guarded(Guard(idle_s=0.3), release) as address:
        assert await closed(address) == b""
        assert await closed(address, b"GET / HTTP/1.1\r\nHost: x\r\n") == b""
        answered = await closed(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHos")
        assert answered.count(b"done") == 1


async def test_a_request_under_way_is_left_alone() -> None:
    release = asyncio.Event()
    guard = Guard(idle_s=0.05)
    async with guarded(guard, release) as address:
        asyncio.get_running_loop().call_later(0.2, release.set)
        assert b"done" in await closed(address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
