"""Questions to peers: the right peer or nobody, one kind of error, and no more bytes than wanted."""

import contextlib
import ipaddress
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import CertificateError, PeerError
from re6st_core.prefix import Prefix
from re6stnet.adapters.peer_api import ENDPOINTS_PATH, PeerApi
from re6stnet.adapters.peer_http import PeerHttp
from tests.helpers.node_certificates import NETWORK, authority, load, write_node

A, B, C = (Prefix(16, n) for n in (1, 2, 3))
pytestmark = pytest.mark.root  # SO_MARK


@dataclass
class Pair:
    http: PeerHttp
    at: Endpoint
    asked: list[tuple[str, bytes]]


@contextlib.asynccontextmanager
async def pair(
    tmp_path: Path, *, client_refuses: bool = False, server_refuses: bool = False
) -> AsyncIterator[Pair]:
    ca = authority()
    a, b = load(write_node(tmp_path, ca, A, 1)), load(write_node(tmp_path, ca, B, 2))
    asked: list[tuple[str, bytes]] = []

    def refuse(certificate: x509.Certificate) -> None:
        raise CertificateError(f"{certificate.serial_number} is not wanted")

    def accept(_certificate: x509.Certificate) -> None:
        pass

    async def handler(peer: str, data: bytes) -> bytes | None:
        asked.append((peer, data))
        return data or None

    api = PeerApi(b.server_context(refuse if server_refuses else accept), lambda: ())
    api.serve("/v1/echo", handler)
    port = await api.listen("127.0.0.1", 0)
    http = PeerHttp(NETWORK, a.client_context(refuse if client_refuses else accept), mark=1)
    await http.start()
    yield Pair(http, Endpoint(ipaddress.ip_address("127.0.0.1"), port, Protocol.TCP), asked)
    await http.close()
    await api.close()


async def test_questions_with_and_without_a_body(tmp_path: Path) -> None:
    async with pair(tmp_path) as p:
        assert await p.http.ask(B, "/v1/echo", b"hello", endpoint=p.at) == b"hello"
        assert await p.http.ask(B, "/v1/echo", b"", endpoint=p.at) == b""
        assert await p.http.ask(B, ENDPOINTS_PATH, endpoint=p.at) == b'{"endpoints":[]}'
        assert p.asked == [(A.cn, b"hello"), (A.cn, b"")]


async def test_what_is_not_success_or_too_long_is_one_known_error(tmp_path: Path) -> None:
    async with pair(tmp_path) as p:
        with pytest.raises(PeerError, match="answers 404"):
            await p.http.ask(B, "/v1/nothing", b"", endpoint=p.at)
        with pytest.raises(PeerError, match="more than 3 bytes"):
            await p.http.ask(B, "/v1/echo", b"four", endpoint=p.at, limit=3)


async def test_nothing_is_sent_to_another_node(tmp_path: Path) -> None:
    async with pair(tmp_path) as p:
        with pytest.raises(PeerError, match="certificate"):
            await p.http.ask(C, "/v1/echo", b"secret", endpoint=p.at)
        assert p.asked == []


async def test_each_end_may_refuse_the_other_s_certificate(tmp_path: Path) -> None:
    async with pair(tmp_path, client_refuses=True) as p:
        with pytest.raises(PeerError, match="2 is not wanted"):
            await p.http.ask(B, "/v1/echo", b"secret", endpoint=p.at)
        assert p.asked == []
    (tmp_path / "second").mkdir()
    async with pair(tmp_path / "second", server_refuses=True) as p:
        with pytest.raises(PeerError):
            await p.http.ask(B, "/v1/echo", b"secret", endpoint=p.at)
        assert p.asked == []
