"""A node learns its mapped address from the very socket that will carry the tunnel."""

import asyncio
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import ConfigError, PeerError, RouterError
from re6st_core.stun import BindingRequest, encode_request
from re6stnet.adapters.one_port import bind_local_port
from re6stnet.adapters.stun import StunReflector, probe
from tests.helpers.namespace_tests import TestNamespace, connect, namespaces

pytestmark = pytest.mark.root
MARK = 0x6E6
POOL = range(51000, 51004)


@pytest.fixture
def pair() -> Iterator[list[TestNamespace]]:
    with namespaces(2) as made:
        connect(*made)
        yield made


def server(host: str) -> Endpoint:
    return Endpoint(ip_address(host), 1194, Protocol.UDP)


def open_in(namespace: TestNamespace, used: tuple[int, ...] = ()) -> socket.socket:
    with namespace.entered():
        return bind_local_port(POOL, MARK, used=used)


async def test_both_families_and_every_address_of_the_host_answer(pair: list[TestNamespace]) -> None:
    pair[0].run("ip address add 2001:db8:1::9/64 dev wire nodad")
    with pair[0].entered():
        reflector = StunReflector.open(1194, MARK)
    with open_in(pair[1]) as sock:
        for host, mine in (
            ("192.0.2.1", "192.0.2.2"),
            *((f"2001:db8:1::{n}", "2001:db8:1::2") for n in "19"),
        ):
            result = await probe(sock, server(host))
            assert result.mapped == Endpoint(ip_address(mine), 51000, Protocol.UDP)
            assert 0 < result.rtt_us < 1_000_000
    reflector.close()


async def test_several_probes_run_at_once(pair: list[TestNamespace]) -> None:
    with pair[0].entered():
        reflector = StunReflector.open(1194, MARK)
    sockets = [open_in(pair[1]) for _ in range(4)]
    results = await asyncio.gather(*(probe(sock, server("192.0.2.1")) for sock in sockets))
    assert [result.mapped.port for result in results] == list(POOL)
    with pytest.raises(RouterError, match="taken"):
        open_in(pair[1])
    for sock in sockets:
        sock.close()
    reflector.close()


async def test_silence_is_an_error_of_the_peer(pair: list[TestNamespace]) -> None:
    with open_in(pair[1]) as sock, pytest.raises(PeerError, match="no STUN answer"):
        await probe(sock, server("192.0.2.1"), retransmit_s=(0.02, 0.02))


async def test_lost_question_is_asked_again(pair: list[TestNamespace]) -> None:
    with open_in(pair[1]) as sock:
        asking = asyncio.create_task(probe(sock, server("192.0.2.1"), retransmit_s=(0.05,) * 100))
        with pair[0].entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
            deaf.setblocking(False)
            deaf.bind(("0.0.0.0", 1194))
            await asyncio.get_running_loop().sock_recv(deaf, 100)
        with pair[0].entered():
            reflector = StunReflector.open(1194, MARK)
        assert (await asking).rtt_us < 1_000_000
    reflector.close()


async def test_answers_are_bounded_and_small_questions_get_none(pair: list[TestNamespace]) -> None:
    loop = asyncio.get_running_loop()
    with pair[0].entered():
        reflector = StunReflector.open(1194, MARK)
    with pair[1].entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.connect(("2001:db8:1::1", 1194))
        sock.send(bytes.fromhex("000100002112a442") + bytes(12))  # valid, but smaller than the answer
        sock.send(b"noise")
        for _ in range(3000):
            sock.send(encode_request(BindingRequest(b"asked by all")))
        sock.send(encode_request(BindingRequest(b"the last one")))
        answers = 0
        try:
            while True:
                async with asyncio.timeout(0.2):
                    await loop.sock_recv(sock, 100)
                answers += 1
        except TimeoutError:
            pass
    assert 0 < answers < 1000
    reflector.close()


async def test_taken_port_is_named(pair: list[TestNamespace]) -> None:
    with pair[0].entered():
        reflector = StunReflector.open(1194, MARK)
        with pytest.raises(ConfigError, match="UDP port 1194"):
            StunReflector.open(1194, MARK)
    reflector.close()
