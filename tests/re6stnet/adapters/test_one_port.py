"""Tunnels through a filter that lets only the one port in."""

import asyncio
import socket
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from re6st_core.address import Endpoint, IPAddress, Protocol
from re6st_core.errors import ConfigError, RouterError
from re6stnet.adapters.netlink import Kernel
from re6stnet.adapters.one_port import Claims, OnePort, Source, bind_local_port, local_ports, ruleset
from re6stnet.adapters.stun import StunReflector, probe
from re6stnet.adapters.wireguard import WireguardDevices, WireguardTunnel
from re6stnet.adapters.wireguard_key import PrivateKey
from tests.helpers.namespace_tests import TestNamespace, connect, device_name, namespaces

pytestmark = pytest.mark.root
MARK = 0x6E6
LINK_LOCAL = IPv6Address("fe80::1"), IPv6Address("fe80::2")
PORT = 1194
FILTER = """
table inet filter {{
  chain in {{
    type filter hook input priority 0; policy drop;
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
    iifname "re6st*" accept
    udp dport {port} accept
  }}
}}
"""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[list[TestNamespace]]:
    with namespaces(2) as made:
        connect(*made)
        rules = tmp_path / "filter.nft"
        rules.write_text(FILTER.format(port=PORT))
        for namespace in made:
            namespace.run(f"nft -f {rules}")
        yield made


def at(host: str, port: int = PORT) -> Endpoint:
    return Endpoint(ip_address(host), port, Protocol.UDP)


async def open_ports(pair: list[TestNamespace], sources: list[Endpoint | IPAddress]) -> list[OnePort]:
    ports = [OnePort(PORT, MARK) for _ in pair]
    for namespace, port, source, local in zip(pair, ports, sources, (51000, 51001), strict=True):
        with namespace.entered():
            await port.start()
            await port.set_sources(local, [source])
    return ports


@pytest.mark.parametrize("family", ["192.0.2.", "2001:db8:1::"])
@pytest.mark.parametrize("by_address", [False, True])
async def test_only_the_one_port_is_needed(
    pair: list[TestNamespace], tmp_path: Path, family: str, by_address: bool
) -> None:
    hosts = [family + "1", family + "2"]
    known = [at(host).ip if by_address else at(host) for host in reversed(hosts)]
    ports = await open_ports(pair, known)
    keys = [PrivateKey.generate(), PrivateKey.generate()]
    names = [device_name(), device_name()]
    kernels = []
    devices = []
    for mine, namespace in enumerate(pair):
        with namespace.entered():
            kernels.append(await Kernel.open())
            devices.append(WireguardDevices(kernels[mine], tmp_path, MARK))
            await devices[mine].create(
                WireguardTunnel(
                    device=names[mine],
                    private_key=keys[mine],
                    listen_port=51000 + mine,
                    peer_key=keys[not mine].public,
                    endpoint=at(hosts[not mine]),
                    mtu=1420,
                    link_local=LINK_LOCAL[mine],
                )
            )
    pair[0].run(f"ping -c 1 -W 5 {LINK_LOCAL[1]}%{names[0]}")
    for namespace, port, device, kernel, name in zip(pair, ports, devices, kernels, names, strict=True):
        with namespace.entered():
            await device.remove(name)
            for _ in range(2):
                await port.stop()
        await kernel.close()
        assert "re6stnet" not in namespace.run("nft list tables")


async def test_a_peer_is_followed_to_an_address_that_nobody_was_told(
    pair: list[TestNamespace], tmp_path: Path
) -> None:
    ports = await open_ports(pair, [at("192.0.2.2"), at("192.0.2.1")])
    keys = [PrivateKey.generate(), PrivateKey.generate()]
    names = [device_name(), device_name()]
    kernels, devices = [], []
    for mine, namespace in enumerate(pair):
        with namespace.entered():
            kernels.append(await Kernel.open())
            devices.append(WireguardDevices(kernels[mine], tmp_path, MARK))
            await devices[mine].create(
                WireguardTunnel(
                    device=names[mine],
                    private_key=keys[mine],
                    listen_port=51000 + mine,
                    peer_key=keys[not mine].public,
                    endpoint=at(f"192.0.2.{2 - mine}"),
                    mtu=1420,
                    link_local=LINK_LOCAL[mine],
                )
            )
    pair[0].run(f"ping -c 1 -W 5 {LINK_LOCAL[1]}%{names[0]}")
    with pair[0].entered():  # the rules are replaced, but no session is forgotten
        await ports[0].set_sources(51005, [at("192.0.2.77")])
    wire = pair[1].run("ip -o -4 addr show to 192.0.2.2").split()[1]
    pair[1].run(f"ip addr del 192.0.2.2/24 dev {wire}")
    pair[1].run(f"ip addr add 192.0.2.9/24 dev {wire}")
    with pair[1].entered():
        await devices[1].forget_source(names[1], keys[0].public)
    pair[1].run(f"ping -c 1 -W 5 {LINK_LOCAL[0]}%{names[1]}")
    pair[0].run(f"ping -c 1 -W 5 {LINK_LOCAL[1]}%{names[0]}")
    assert "192.0.2.9 . 1194" in pair[0].run("nft list map inet re6stnet_1194 moved4"), "also for handshakes"
    for namespace, port, device, kernel, name in zip(pair, ports, devices, kernels, names, strict=True):
        with namespace.entered():
            await device.remove(name)
            await port.stop()
        await kernel.close()


async def test_a_stranger_who_guesses_no_session_gets_no_further(pair: list[TestNamespace]) -> None:
    for namespace in pair:
        namespace.run("nft flush ruleset")
    with pair[0].entered(), udp(PORT) as public:
        one_port = OnePort(PORT, MARK)
        await one_port.start({51000: [at("192.0.2.2", 7)]})
        with bind_local_port([51000], MARK) as tunnel, pair[1].entered(), udp(8) as elsewhere, udp(7) as peer:
            with pair[0].entered():
                tunnel.sendto(b"\1\0\0\0" + b"our1" + bytes(140), ("::ffff:192.0.2.2", 7))
            await receive(peer)
            elsewhere.sendto(b"\4\0\0\0" + b"no!!" + bytes(24), ("::ffff:192.0.2.1", PORT))
            assert (await receive(public))[4:8] == b"no!!"
            elsewhere.sendto(b"\2\0\0\0" + b"any?our1" + bytes(80), ("::ffff:192.0.2.1", PORT))
            assert (await receive(tunnel))[8:12] == b"our1"
            elsewhere.sendto(b"\4\0\0\0" + b"our1" + bytes(24), ("::ffff:192.0.2.1", PORT))
            assert (await receive(tunnel))[4:8] == b"our1"
            elsewhere.sendto(b"\1\0\0\0" + b"our1" + bytes(140), ("::ffff:192.0.2.1", PORT))
            assert (await receive(public))[:1] == b"\1", "a handshake from an unknown place is no session"
        await one_port.stop()


async def test_peer_with_a_tunnel_can_still_ask_the_reflector(pair: list[TestNamespace]) -> None:
    await open_ports(pair, [at("192.0.2.2"), at("192.0.2.1")])
    with pair[0].entered():
        reflector = StunReflector.open(PORT, MARK)
    with pair[1].entered(), bind_local_port([51001], MARK) as sock:
        assert (await probe(sock, at("192.0.2.1"))).mapped == at("192.0.2.2")
    reflector.close()


async def receive(sock: socket.socket) -> bytes:
    async with asyncio.timeout(2):
        return await asyncio.get_running_loop().sock_recv(sock, 100)


def udp(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", port))
    return sock


async def test_strangers_reach_the_port_and_nothing_behind_it(pair: list[TestNamespace]) -> None:
    pair[0].run("nft flush ruleset")
    with pair[0].entered(), udp(PORT) as public, udp(51000) as tunnel, udp(51005) as free:
        one_port = OnePort(PORT, MARK)
        await one_port.start({51000: [at("192.0.2.2", 7)]})
        with pair[1].entered(), udp(8) as stranger, udp(7) as peer:
            stranger.sendto(b"to the tunnel", ("::ffff:192.0.2.1", 51000))
            stranger.sendto(b"hello", ("::ffff:192.0.2.1", PORT))
            assert await receive(public) == b"hello"
            stranger.sendto(b"mine", ("::ffff:192.0.2.1", 51005))
            assert await receive(free) == b"mine"
            peer.sendto(b"payload", ("::ffff:192.0.2.1", PORT))
            assert await receive(tunnel) == b"payload"
        await one_port.remove(51000)
        with pair[1].entered(), udp(7) as peer:
            peer.sendto(b"unknown", ("::ffff:192.0.2.1", PORT))
            assert await receive(public) == b"unknown"


async def test_newest_tunnel_of_a_source_gets_its_packets_until_it_ends(pair: list[TestNamespace]) -> None:
    def shown() -> str:
        return pair[0].run("nft list map inet re6stnet_1194 source4")

    with pair[0].entered():
        one_port = OnePort(PORT, MARK)
        await one_port.start({51000: [at("192.0.2.2"), at("192.0.2.3")]})
        for _ in range(2):
            await one_port.set_sources(51001, [at("192.0.2.2")])
        assert "192.0.2.2 . 1194 : 51001" in shown()
        assert "192.0.2.3 . 1194 : 51000" in shown()
        assert "192.0.2.2 . 1194 : 51000" not in shown()
        await one_port.remove(51001)
        assert "192.0.2.2 . 1194 : 51000" in shown()


EXACT, ADDRESS = at("192.0.2.2"), at("192.0.2.2").ip


@pytest.mark.parametrize(("source", "owners"), [(EXACT, [1, 2, 3]), (ADDRESS, [1, 1, 1])])
def test_newest_exact_claim_wins_and_the_oldest_one_to_an_address(
    source: Endpoint | IPAddress, owners: list[int]
) -> None:
    claims = Claims()
    for local, owner in zip((1, 2, 3), owners, strict=True):
        claims.claim(local, [source])
        assert claims.owned()[owner] == [source]
    claims.forget(owners[-1])
    assert claims.owned()[2] == [source]


def test_claim_that_is_made_again_is_the_newest_one() -> None:
    claims = Claims()
    for local in (1, 2, 1):
        claims.claim(local, [EXACT, ADDRESS])
    assert claims.owned() == {1: [EXACT, ADDRESS], 2: []}
    claims.claim(1, [])
    assert claims.owned() == {1: [], 2: [EXACT, ADDRESS]}


local = st.integers(1, 4)
changes = st.lists(st.tuples(local, st.none() | st.sets(st.sampled_from([EXACT, ADDRESS, at("::1").ip]))))


@given(changes)
def test_every_claimed_source_has_one_owner_who_claims_it(
    steps: list[tuple[int, set[Source] | None]],
) -> None:
    claims, wanted = Claims(), dict[int, set[Source]]()
    for local, sources in steps:
        if sources is None:
            assert claims.forget(local) == (wanted.pop(local, None) is not None)
        else:
            claims.claim(local, sources)
            wanted[local] = sources
    owned = claims.owned()
    assert owned.keys() == wanted.keys()
    given_out = [source for sources in owned.values() for source in sources]
    assert len(given_out) == len(set(given_out))
    assert set(given_out) == set().union(*wanted.values())
    assert all(set(sources) <= wanted[local] for local, sources in owned.items())


async def test_cancelled_change_is_made_and_none_comes_into_force_after_a_newer_one(
    pair: list[TestNamespace],
) -> None:
    with pair[0].entered():
        one_port = OnePort(PORT, MARK)
        await one_port.start()
        changes = [asyncio.create_task(one_port.set_sources(51000 + n, [EXACT])) for n in range(4)]
        await asyncio.sleep(0)
        for change in changes:
            change.cancel()
        await asyncio.wait(changes)
        await one_port.remove(51003)
    shown = pair[0].run("nft list table inet re6stnet_1194")
    assert "192.0.2.2 . 1194 : 51002" in shown
    assert "51003" not in shown
    assert all(str(51000 + n) in shown for n in range(3))


async def test_claims_that_change_nothing_cost_no_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    transactions: list[str] = []

    async def nft(text: str) -> None:
        transactions.append(text)
        if len(transactions) == 2:
            raise RouterError("nft: no memory")

    monkeypatch.setattr("re6stnet.adapters.nftables.load", nft)
    one_port = OnePort(PORT, MARK)
    await one_port.start()
    with pytest.raises(RouterError):
        await one_port.set_sources(51000, [EXACT])
    for _ in range(3):  # what failed is made up for, once
        await one_port.set_sources(51000, [EXACT])
    assert len(transactions) == 3
    await one_port.set_sources(51001, [ADDRESS])
    await one_port.start({51000: [EXACT]})  # the rules of an earlier daemon are replaced in any case
    await one_port.start({51000: [EXACT]})
    assert len(transactions) == 6


@pytest.mark.parametrize("port", [1, 1194, 65535 - 64, 65535 - 63, 65535])
def test_local_ports_are_valid_next_to_any_open_port_and_begin_far_from_it(port: int) -> None:
    pool = local_ports(port, 64)
    assert len(set(pool)) == 64
    assert port not in pool
    assert all(0 < local <= 65535 for local in pool)
    assert abs(pool[0] - port) == 64


async def test_open_port_that_another_node_uses_for_a_tunnel_is_an_honest_error(
    pair: list[TestNamespace],
) -> None:
    with (
        pair[0].entered(),
        bind_local_port([PORT + 1], MARK),
        pytest.raises(ConfigError, match=f"UDP port {PORT + 1}"),
    ):
        StunReflector.open(PORT + 1, MARK)


async def test_port_of_another_node_is_passed_over(pair: list[TestNamespace]) -> None:
    with pair[0].entered():
        reflector = StunReflector.open(PORT + 2, MARK)
        with bind_local_port([PORT + 2, PORT + 1], MARK) as bound:
            assert bound.getsockname()[1] == PORT + 1
        reflector.close()


async def test_behind_a_nat_nothing_is_rewritten(pair: list[TestNamespace]) -> None:
    with pair[0].entered():
        await OnePort(PORT, MARK).start({51000: []})
        await OnePort(PORT, MARK, enabled=False).start({51000: [at("192.0.2.2")]})
    assert "re6stnet" not in pair[0].run("nft list tables")


def test_rules_name_each_source_once() -> None:
    text = ruleset(PORT, MARK, {51000: [at("2001:db8::1"), ip_address("192.0.2.9")]})
    assert text.count("2001:db8::1 . 1194 : 51000") == 1
    assert text.count("192.0.2.9 : 51000") == 1


async def test_tcp_on_the_underlay_asks_for_segments_that_every_path_takes(pair: list[TestNamespace]) -> None:
    for namespace in pair:
        namespace.run("nft flush ruleset")
    with pair[0].entered():
        one_port = OnePort(PORT, MARK)
        await one_port.start()
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
    with pair[1].entered(), socket.create_server(("192.0.2.2", 0)) as server:
        client.connect(server.getsockname())
        accepted, _ = server.accept()
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) <= 1220
    client.close()
    accepted.close()
    with pair[0].entered():
        await one_port.stop()
