"""Tunnels through a filter that lets only the one port in."""

import asyncio
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from re6st_core.address import Endpoint, IPAddress, Protocol
from re6st_core.errors import ConfigError, RouterError
from re6stnet.adapters.netlink import Kernel
from re6stnet.adapters.one_port import OnePort, bind_local_port, ruleset
from re6stnet.adapters.stun import StunReflector, probe
from re6stnet.adapters.wireguard import WireguardDevices, WireguardTunnel
from re6stnet.adapters.wireguard_key import PrivateKey, link_local
from tests.helpers.namespace_tests import TestNamespace, connect, device_name, namespaces

pytestmark = pytest.mark.root
MARK = 0x6E6
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
                    link_local=link_local(keys[mine].public),
                )
            )
    pair[0].run(f"ping -c 1 -W 5 {link_local(keys[1].public)}%{names[0]}")
    for namespace, port, device, kernel, name in zip(pair, ports, devices, kernels, names, strict=True):
        with namespace.entered():
            await device.remove(name)
            for _ in range(2):
                await port.stop()
        await kernel.close()
        assert "re6stnet" not in namespace.run("nft list tables")


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


async def test_newest_tunnel_of_a_source_gets_its_packets(pair: list[TestNamespace]) -> None:
    with pair[0].entered():
        one_port = OnePort(PORT, MARK)
        await one_port.start({51000: [at("192.0.2.2"), at("192.0.2.3")]})
        await one_port.set_sources(51001, [at("192.0.2.2")])
        await one_port.set_sources(51001, [at("192.0.2.2")])
    shown = pair[0].run("nft list map inet re6stnet_1194 source4")
    assert "192.0.2.2 . 1194 : 51001" in shown
    assert "192.0.2.3 . 1194 : 51000" in shown
    assert "192.0.2.2 . 1194 : 51000" not in shown


async def test_behind_a_nat_nothing_is_rewritten(pair: list[TestNamespace]) -> None:
    with pair[0].entered():
        await OnePort(PORT, MARK).start({51000: []})
        await OnePort(PORT, MARK, enabled=False).start({51000: [at("192.0.2.2")]})
    assert "re6stnet" not in pair[0].run("nft list tables")


async def test_missing_nft_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="Debian package nftables"):
        await OnePort(PORT, MARK).start()


async def test_refusal_of_nft_is_an_error_of_the_router(pair: list[TestNamespace]) -> None:
    with pair[0].entered(), pytest.raises(RouterError, match="nft"):
        await OnePort(99999, MARK).start()


def test_rules_name_each_source_once() -> None:
    text = ruleset(PORT, MARK, {51000: [at("2001:db8::1"), ip_address("192.0.2.9")]})
    assert text.count("2001:db8::1 . 1194 : 51000") == 1
    assert text.count("192.0.2.9 : 51000") == 1
