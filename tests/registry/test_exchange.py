"""One question, one answer: whatever a server does, it is an answer or one of the known errors."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from re6st_core.errors import RegistryError, WireError
from registry import exchange as module
from registry.errors import UnreachableError
from registry.exchange import Answer, decode_head_untrusted, exchange


@contextlib.asynccontextmanager
async def server(answer: bytes, questions: list[bytes] | None = None) -> AsyncIterator[str]:
    """Says the same to everybody, whatever they ask; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.readuntil(b"\r\n\r\n")
        if questions is not None:
            questions.append(question)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/path"


async def ask(answer: bytes, *, limit: int = 10) -> Answer:
    async with server(answer) as url:
        return await exchange("GET", url, limit=limit)


async def test_question_and_answer() -> None:
    questions: list[bytes] = []
    async with server(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbodyrest", questions) as url:
        assert await exchange("POST", url, b"{}", limit=10) == Answer(200, b"body")
    lines = questions[0].split(b"\r\n")
    assert lines[0] == b"POST /path HTTP/1.0"
    assert {b"Content-Length: 2", b"Content-Type: application/json"} <= set(lines)
    assert b"Host: " + url.split("/")[2].encode() in lines


async def test_without_a_length_an_answer_lasts_until_the_end() -> None:
    assert await ask(b"HTTP/1.0 404 Not Found\r\n\r\nno such") == Answer(404, b"no such")
    assert await ask(b"HTTP/1.0 204\r\n\r\n") == Answer(204, b"")


@pytest.mark.parametrize("length", [b"", b"Content-Length: 11\r\n"])
async def test_an_answer_that_is_too_long_is_not_read(length: bytes) -> None:
    with pytest.raises(RegistryError, match="more than 10 bytes"):
        await ask(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + bytes(11))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"220 mail.example ESMTP\r\n\r\n",
    ],
)
async def test_what_is_no_answer_is_garbage(answer: bytes) -> None:
    with pytest.raises(RegistryError, match="garbage"):
        await ask(answer)


async def test_who_says_nothing_is_not_reached() -> None:
    with pytest.raises(UnreachableError, match="closes the connection"):
        await ask(b"")


@pytest.mark.parametrize(
    "head",
    [b"", b"HTTP/2 200", b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\nno colon"]
    + [
        b"HTTP/1.1 200 OK\r\nContent-Length: " + length
        for length in (b"-1", b"4\r\nContent-Length: 5", b"+4", b"")
    ],
)
def test_heads_that_are_not_clear_are_refused(head: bytes) -> None:
    with pytest.raises(WireError):
        decode_head_untrusted(head)


def addresses(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    """What every name resolves to, in this order."""

    async def getaddrinfo(
        _loop: object, _host: str, port: int, **_options: object
    ) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port)) for host in hosts]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)


async def test_an_address_that_refuses_makes_room_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async with server(b"HTTP/1.1 200 OK\r\n\r\nhere") as url:
        addresses(monkeypatch, "127.0.0.2", "127.0.0.1")
        assert await exchange("GET", url, limit=10) == Answer(200, b"here")
        addresses(monkeypatch, "127.0.0.2", "127.0.0.3")
        with pytest.raises(UnreachableError, match="Connect"):
            await exchange("GET", url, limit=10)


async def test_an_address_that_is_silent_has_but_a_head_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_START_S", 0.01)
    loop = asyncio.get_running_loop()
    real = loop.sock_connect

    async def connect(sock: socket.socket, address: tuple[str, int]) -> None:
        if address[0] == "127.0.0.2":
            await loop.create_future()
        await real(sock, address)

    monkeypatch.setattr(loop, "sock_connect", connect)
    async with server(b"HTTP/1.1 200 OK\r\n\r\nhere") as url:
        addresses(monkeypatch, "127.0.0.2", "127.0.0.1")
        assert await exchange("GET", url, limit=10) == Answer(200, b"here")
