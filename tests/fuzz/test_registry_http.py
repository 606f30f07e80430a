"""The registry's doors: whatever comes in, a documented problem goes out, and the server lives.

And its decoders, ``load_request_untrusted`` and ``decode_ip_block_untrusted``: one known error.
"""

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from caucase_ca.authority import generate_key
from caucase_ca.ip_blocks import decode_ip_block_untrusted
from caucase_ca.policy import load_request_untrusted
from re6st_core.errors import CertificateError, WireError
from re6st_core.registry_wire import (
    BOOTSTRAP,
    CA_PATH,
    CRL_PATH,
    ENROL,
    OPENAPI,
    PARAMETERS,
    PROBLEM_TYPE,
    RELAY,
    RENEW,
)
from registry.exchange import decode_head_untrusted
from registry.http import context, private
from tests.helpers.registry import PORT, JoinedNode, Served, request_for, request_pem, served

T = TypeVar("T")
SUCCESS = {200}
REFUSALS = {400, 401, 403, 404, 405, 408, 409, 413, 417, 426, 429}
PATHS = st.sampled_from([ENROL, RENEW, PARAMETERS, BOOTSTRAP, RELAY, OPENAPI, "/", CA_PATH, CRL_PATH])
METHODS = st.sampled_from(["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
CSR = request_for(generate_key())

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TEXT = st.text(max_size=250) | JSON
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "csr": st.just(request_pem(generate_key())) | TEXT,
        "token": TEXT,
        "email": TEXT,
        "location": TEXT,
        "endpoints": st.lists(st.just("192.0.2.1,1194,udp") | st.text(max_size=30), max_size=20) | JSON,
        "peer": st.sampled_from(["0/16", "1/16", "x", "0/0"]) | JSON,
        "message": TEXT,
    },
).map(lambda value: json.dumps(value).encode())
BODIES = MESSAGES | JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200)


class Door:
    """A registry, and a member of its network, in a loop of their own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, registry: Served, node: JoinedNode) -> None:
        self._loop = loop
        self.registry = registry
        self.node = node

    def wait(self, work: Awaitable[T]) -> T:
        return self._loop.run_until_complete(asyncio.wait_for(work, 20))

    @property
    def address(self) -> str:
        return self.registry.registry.settings.hosts[0]

    async def send(self, data: bytes, *, tls: bool, patience_s: float = 0.05) -> bytes:
        """Raw bytes; everything that comes back until the server closes, or is silent."""
        context: ssl.SSLContext | None = None
        if tls:
            context = self.node.client._tls
        reader, writer = await asyncio.open_connection(self.address, PORT + tls, ssl=context)
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read(100_000), patience_s)
        except (TimeoutError, ConnectionError):
            return b""
        finally:
            writer.transport.abort()

    async def alive(self) -> None:
        assert (await self.node.client.parameters()).version == 1


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[Served, JoinedNode]]:
        async with served(tmp_path_factory.mktemp("reg")) as registry, registry.node() as node:
            yield registry, node

    loop = asyncio.new_event_loop()
    opening = opened()
    with pytest.MonkeyPatch.context() as patch:  # refusals must not end the questions
        for module, limit in ((private, "REFUSALS"), (private, "ANONYMOUS"), (context, "CALLS")):
            patch.setattr(module, limit, 10**9)
        registry, node = loop.run_until_complete(opening.__aenter__())
    door = Door(loop, registry, node)
    yield door
    door.wait(door.alive())
    loop.run_until_complete(opening.__aexit__(None, None, None))
    loop.close()


@pytest.fixture(autouse=True)
def no_bug_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


async def ask(session: aiohttp.ClientSession, method: str, url: str, **options: Any) -> None:
    async with session.request(method, url, **options) as response:
        body = await response.read()
        assert response.status in SUCCESS | REFUSALS, (response.status, body)
        if response.status not in SUCCESS and method != "HEAD":
            assert response.content_type == PROBLEM_TYPE, (response.status, body)
            assert json.loads(body)["status"] == response.status


@given(METHODS, PATHS, BODIES, st.booleans())
def test_any_body_anywhere_as_member_or_stranger(
    door: Door, method: str, path: str, body: bytes, member: bool
) -> None:
    async def run() -> None:
        if member:
            await ask(door.node.session, method, door.registry.https + path, data=body)
            return
        context = ssl.create_default_context(cafile=str(door.registry.directory / "ca.crt"))
        async with aiohttp.ClientSession() as session:
            await ask(session, method, door.registry.https + path, data=body, ssl=context)
            await ask(session, method, door.registry.url.rstrip("/") + path, data=body)

    door.wait(run())


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
    st.dictionaries(
        st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12)
        | st.sampled_from(
            ["upgrade", "connection", "expect", "range", "accept-encoding", "content-encoding"]
        ),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
        | st.sampled_from(["websocket", "upgrade", "100-continue", "gzip", "deflate", "chunked"]),
        max_size=4,
    ),
    st.sampled_from([ENROL, RELAY, BOOTSTRAP, ""]),
)
def test_any_path_and_headers(door: Door, path: str, headers: dict[str, str], base: str) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = f"POST {base}/{path} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: 2\r\n\r\n{{}}".encode()
    for tls in (True, False):
        answer = door.wait(door.send(request, tls=tls))
        if answer:
            assert answer.startswith(b"HTTP/1."), answer[:200]
            assert int(answer[9:12]) < 500, answer[:500]


@given(st.binary(max_size=300))
def test_any_bytes(door: Door, data: bytes) -> None:
    for tls in (True, False):
        answer = door.wait(door.send(data, tls=tls))
        assert b" 500 " not in answer[:20]


@given(st.lists(BODIES | st.text(max_size=100), min_size=1, max_size=4))
def test_any_frames_on_the_relay(door: Door, frames: list[bytes | str]) -> None:
    async def run() -> None:
        url = door.registry.https + RELAY
        async with door.node.session.ws_connect(url) as socket:
            for frame in frames:
                if socket.closed:
                    break
                text = frame if isinstance(frame, str) else frame.decode("utf-8", "replace")
                try:
                    await socket.send_str(text)
                except ConnectionError:
                    break

    door.wait(run())


UPGRADE = (
    f"GET {RELAY} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
).encode()


@given(st.binary(min_size=1, max_size=100))
def test_any_bytes_after_the_upgrade(door: Door, data: bytes) -> None:
    answer = door.wait(door.send(UPGRADE + data, tls=True))
    assert answer == b"" or answer.startswith(b"HTTP/1.1 101")


def test_raw_bytes_reach_the_handlers(door: Door) -> None:
    """Else the tests above could not fail."""
    assert door.wait(door.send(UPGRADE, tls=True, patience_s=5)).startswith(b"HTTP/1.1 101")
    for tls, status in ((False, 200), (True, 404)):
        answer = door.wait(door.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", tls=tls, patience_s=5))
        assert answer.startswith(b"HTTP/1.1 %d" % status)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_request_for_a_certificate(position: int, change: int) -> None:
    data = bytearray(CSR.public_bytes(Encoding.PEM))
    data[position % len(data)] ^= change
    try:
        load_request_untrusted(bytes(data))
    except CertificateError:
        pass


@given(st.binary(max_size=500) | st.text(max_size=500))
def test_anything_instead_of_a_request_for_a_certificate(data: bytes | str) -> None:
    with pytest.raises(CertificateError):
        load_request_untrusted(data)


@given(st.binary(max_size=40))
def test_anything_instead_of_a_block_of_addresses(data: bytes) -> None:
    try:
        decode_ip_block_untrusted(data)
    except CertificateError:
        pass


@given(
    st.binary(max_size=200)
    | st.lists(
        st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.0 404", b"Content-Length: 5", b"Content-Length: x"])
        | st.binary(max_size=30).map(lambda text: b"Date: " + text)
        | st.binary(max_size=30),
        max_size=5,
    ).map(b"\r\n".join)
)
def test_any_head_of_an_answer(head: bytes) -> None:
    with contextlib.suppress(WireError):
        decoded = decode_head_untrusted(head)
        assert 100 <= decoded.status <= 599
        assert decoded.length is None or decoded.length >= 0
