"""The node's HTTPS door: ports, what a handler may do wrong, and senders that take their time."""

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import ConfigError, WireError
from re6st_core.prefix import Prefix
from re6stnet.adapters import peer_api
from re6stnet.adapters.peer_api import (
    ENDPOINTS_PATH,
    MAX_PENDING,
    MAX_PENDING_PER_PEER,
    MESSAGE_PATH,
    SHARE,
    PeerApi,
)
from re6stnet.adapters.tls_listener import MAX_CONNECTIONS
from tests.helpers.node_certificates import NETWORK, authority, load, write_node

FEW, SOME = "/v1/few", "/v1/some"
A, B = Prefix(16, 1), Prefix(16, 2)
ENDPOINT = Endpoint(ipaddress.ip_address("198.51.100.1"), 1194, Protocol.UDP, "FR")


@dataclass
class Door:
    """A listening API and a peer's session."""

    api: PeerApi
    session: aiohttp.ClientSession
    port: int

    async def post(
        self, data: bytes | AsyncIterator[bytes] = b"hello", path: str = MESSAGE_PATH
    ) -> tuple[int, bytes]:
        url = f"https://127.0.0.1:{self.port}{path}"
        async with self.session.post(url, data=data, server_hostname=str(NETWORK.address(B))) as response:
            return response.status, await response.read()


@contextlib.asynccontextmanager
async def door(
    tmp_path: Path, handler: Callable[[str, bytes], Awaitable[bytes | None]], revoked: Collection[int] = ()
) -> AsyncIterator[Door]:
    ca = authority()
    mine, peer = load(write_node(tmp_path, ca, B, 2)), load(write_node(tmp_path, ca, A, 1))
    api = PeerApi(mine.server_context(), lambda: (ENDPOINT,), lambda: frozenset(revoked))
    api.serve(MESSAGE_PATH, handler)
    api.serve(FEW, handler, limit=10, at_once=1)
    api.serve(SOME, handler, limit=10, at_once=SHARE)
    port = await api.listen("127.0.0.1", 0)
    connector = aiohttp.TCPConnector(ssl=peer.client_context(), limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield Door(api, session, port)
    await api.close()


async def echo(_peer: str, data: bytes) -> bytes | None:
    return data or None


async def test_a_message_and_its_answer(tmp_path: Path) -> None:
    async with door(tmp_path, echo) as d:
        assert await d.post(b"hello") == (200, b"hello")
        assert await d.post(b"") == (204, b"")


async def test_where_the_node_can_be_reached(tmp_path: Path) -> None:
    async with door(tmp_path, echo) as d:
        url = f"https://127.0.0.1:{d.port}{ENDPOINTS_PATH}"
        async with d.session.get(url, server_hostname=str(NETWORK.address(B))) as response:
            assert await response.json() == {"endpoints": ["198.51.100.1,1194,udp,FR"]}


async def test_a_malformed_message_is_400_an_unexpected_error_500_and_both_leave_it_alive(
    tmp_path: Path,
) -> None:
    async def fail(_peer: str, data: bytes) -> bytes | None:
        if data == b"malformed":
            raise WireError("not a message")
        if data == b"surprise":
            raise ZeroDivisionError
        return b"fine"

    async with door(tmp_path, fail) as d:
        assert await d.post(b"malformed") == (400, b"not a message\n")
        for _ in range(MAX_PENDING + 1):
            assert (await d.post(b"surprise"))[0] == 500
        assert await d.post() == (200, b"fine")


async def test_a_sender_that_never_ends_is_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_api, "BODY_S", 0.05)
    never = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"begin"
        await never.wait()

    async with door(tmp_path, echo) as d:
        assert (await d.post(slow()))[0] == 408
        assert await d.post(b"next") == (200, b"next")


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    async with door(tmp_path, echo) as d:
        with pytest.raises(ConfigError, match=rf"TCP port {d.port} of 127\.0\.0\.1: Address already in use"):
            await d.api.listen("127.0.0.1", d.port)
        assert await d.post() == (200, b"hello")


async def test_it_listens_on_several_addresses(tmp_path: Path) -> None:
    async with door(tmp_path, echo) as d:
        second = await d.api.listen("::1", 0)
        assert second
        url = f"https://[::1]:{second}{MESSAGE_PATH}"
        async with d.session.post(url, data=b"x", server_hostname=str(NETWORK.address(B))) as response:
            assert response.status == 200


async def test_closing_twice_is_fine(tmp_path: Path) -> None:
    async with door(tmp_path, echo) as d:
        await d.api.close()


async def test_one_member_cannot_keep_the_others_from_being_served(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def wait(_peer: str, data: bytes) -> bytes | None:
        if data == b"slow":
            await go.wait()
        return data

    async with door(tmp_path, wait) as d:
        slow = [asyncio.create_task(d.post(b"slow")) for _ in range(MAX_PENDING_PER_PEER + 1)]
        refused, _ = await asyncio.wait(slow, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result()[0] for task in refused] == [503]
        other = aiohttp.TCPConnector(ssl=load(tmp_path / "2-16").client_context())
        async with aiohttp.ClientSession(connector=other) as session:
            assert await Door(d.api, session, d.port).post(b"quick") == (200, b"quick")
        go.set()
        assert sorted(status for status, _ in await asyncio.gather(*slow)) == [200] * 4 + [503]
        assert await d.post() == (200, b"hello")


async def test_a_thousand_silent_strangers_do_not_use_up_the_node(tmp_path: Path) -> None:
    async with door(tmp_path, echo) as d:
        before = len(os.listdir("/proc/self/fd"))
        with contextlib.ExitStack() as stack:
            for _ in range(1000):
                silent = stack.enter_context(socket.socket())
                silent.setblocking(False)
                await asyncio.get_running_loop().sock_connect(silent, ("127.0.0.1", d.port))
            assert await d.post() == (200, b"hello")
            ours = len(os.listdir("/proc/self/fd")) - before - 1000
            assert ours <= MAX_CONNECTIONS + 10
            assert await d.post(b"again") == (200, b"again")


async def test_each_path_has_limits_of_its_own(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def wait(peer: str, data: bytes) -> bytes | None:
        if data == b"slow":
            await go.wait()
        return peer.encode()

    async with door(tmp_path, wait) as d:
        slow = asyncio.create_task(d.post(b"slow", FEW))
        while (await d.post(b"quick", FEW))[0] != 503:  # noqa: ASYNC110  # it comes before the slow one
            await asyncio.sleep(0)
        assert await d.post(b"quick") == (200, A.cn.encode())
        assert (await d.post(b"more than ten"))[0] == 200
        go.set()
        assert (await slow)[0] == 200
        assert (await d.post(b"more than ten", FEW))[0] == 413


async def test_who_is_revoked_on_an_open_connection_gets_no_answer_any_more(tmp_path: Path) -> None:
    revoked: set[int] = set()
    async with door(tmp_path, echo, revoked) as d:
        assert await d.post() == (200, b"hello")
        revoked.add(1)
        with pytest.raises(aiohttp.ClientError):
            await d.post()


async def test_one_member_does_not_get_all_places_of_a_path(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def wait(_peer: str, data: bytes) -> bytes | None:
        if data == b"slow":
            await go.wait()
        return data

    async with door(tmp_path, wait) as d:
        slow = [asyncio.create_task(d.post(b"slow", SOME)) for _ in range(2)]
        refused, _ = await asyncio.wait(slow, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result()[0] for task in refused] == [503]
        other = aiohttp.TCPConnector(ssl=load(tmp_path / "2-16").client_context())
        async with aiohttp.ClientSession(connector=other) as session:
            assert await Door(d.api, session, d.port).post(b"quick", SOME) == (200, b"quick")
        go.set()
        await asyncio.gather(*slow)
