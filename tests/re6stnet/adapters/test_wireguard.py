"""Two nodes over a cable: real tunnels, which survive their daemon and vanish when removed."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import pytest

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import ConfigError, RouterError
from re6stnet.adapters.netlink import Kernel
from re6stnet.adapters.wireguard import SOCKETS, DeviceHandle, WireguardDevices, WireguardTunnel
from re6stnet.adapters.wireguard_key import PrivateKey
from tests.helpers.namespace_tests import TestNamespace, connect, device_name, namespaces

pytestmark = pytest.mark.root
MARK = 0x6E6
LINK_LOCAL = IPv6Address("fe80::1"), IPv6Address("fe80::2")
Ends = tuple[WireguardTunnel, WireguardTunnel]


@pytest.fixture
def pair() -> Iterator[list[TestNamespace]]:
    with namespaces(2) as made:
        connect(*made)
        yield made


def tunnel_pair() -> Ends:
    keys = PrivateKey.generate(), PrivateKey.generate()

    def end(mine: int) -> WireguardTunnel:
        return WireguardTunnel(
            device=device_name(),
            private_key=keys[mine],
            listen_port=51000 + mine,
            peer_key=keys[not mine].public,
            endpoint=Endpoint(ip_address(f"2001:db8:1::{2 - mine}"), 51001 - mine, Protocol.UDP),
            mtu=1420,
            link_local=LINK_LOCAL[mine],
        )

    return end(0), end(1)


Opener = Callable[[TestNamespace], Awaitable[WireguardDevices]]


@pytest.fixture
async def devices_in(tmp_path: Path) -> AsyncIterator[Opener]:
    kernels: list[Kernel] = []

    async def make(namespace: TestNamespace) -> WireguardDevices:
        with namespace.entered():
            kernels.append(await Kernel.open())
        return WireguardDevices(kernels[-1], tmp_path, MARK)

    yield make
    for kernel in kernels:
        await kernel.close()


async def test_tunnel_carries_unicast_and_the_multicast_of_babel(
    pair: list[TestNamespace], devices_in: Opener, tmp_path: Path
) -> None:
    ends = tunnel_pair()
    devices = [await devices_in(namespace) for namespace in pair]
    for namespace, device, end in zip(pair, devices, ends, strict=True):
        with namespace.entered():
            await device.create(end)
    left, right = ends
    pair[0].run(f"ping -c 1 -W 5 {right.link_local}%{left.device}")
    assert await babel_packet_passes(pair[0], pair[1], ends)
    assert (await devices[1].state(right.device)).rx_bytes > 0
    assert (await devices[0].state(left.device)).last_handshake_ns > 0
    for namespace, device, end in zip(pair, devices, ends, strict=True):
        with namespace.entered():
            for _ in range(2):
                await device.remove(end.device)
        assert not (SOCKETS / f"{end.device}.sock").exists()
        assert end.device not in namespace.run("ip link")
    assert list(tmp_path.iterdir()) == []


async def babel_packet_passes(left: TestNamespace, right: TestNamespace, ends: Ends) -> bool:
    """Whether a datagram to Babel's group (RFC 8966 section 4.1) arrives, sent from the left end."""
    with right.entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as receiver:
        index = socket.if_nametoindex(ends[1].device)
        receiver.bind(("::", 6696))
        group = socket.inet_pton(socket.AF_INET6, "ff02::1:6") + index.to_bytes(4, sys.byteorder)
        receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        receiver.setblocking(False)
        with left.entered(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"hello", ("ff02::1:6", 6696, 0, socket.if_nametoindex(ends[0].device)))
        async with asyncio.timeout(5):
            data, source = await asyncio.get_running_loop().sock_recvfrom(receiver, 100)
    return data == b"hello" and source[0].partition("%")[0] == str(ends[0].link_local)


async def test_next_daemon_adopts_the_tunnel(
    pair: list[TestNamespace], devices_in: Opener, tmp_path: Path
) -> None:
    end, _ = tunnel_pair()
    first = await devices_in(pair[0])
    with pair[0].entered():
        handle = await first.create(end)
    first.release()
    second = await devices_in(pair[0])
    with pair[0].entered():
        assert await second.adopt(handle)
        endpoint = Endpoint(ip_address("192.0.2.2"), 9, Protocol.UDP)
        await second.set_endpoint(end.device, end.peer_key, endpoint)
        assert (await second.state(end.device)).listen_port == end.listen_port
        await second.remove(end.device)
        assert not await second.adopt(handle)


async def test_wireguard_go_whose_identity_was_not_saved_is_removed(
    pair: list[TestNamespace], devices_in: Opener, tmp_path: Path
) -> None:
    end, _ = tunnel_pair()
    first = await devices_in(pair[0])
    with pair[0].entered():
        handle = await first.create(end)
    second = await devices_in(pair[0])
    with pair[0].entered():
        assert handle.process is None or not await second.adopt(DeviceHandle(end.device, None))
    assert end.device not in pair[0].run("ip link") or handle.process is None
    assert "ended" in await first.ended(end.device)


async def test_killed_wireguard_go_is_noticed(
    pair: list[TestNamespace], devices_in: Opener, tmp_path: Path
) -> None:
    end, _ = tunnel_pair()
    devices = await devices_in(pair[0])
    with pair[0].entered():
        handle = await devices.create(end)
        assert handle.process is not None
        os.kill(handle.process["pid"], signal.SIGKILL)
        assert "status -9" in await devices.ended(end.device)
        await devices.remove(end.device)
    assert not (SOCKETS / f"{end.device}.sock").exists()


async def test_why_wireguard_go_fails_is_told_and_what_to_do(
    pair: list[TestNamespace], devices_in: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has bound its socket already when the kernel refuses it an inotify instance."""
    end, _ = tunnel_pair()
    failing = tmp_path / "bin" / "wireguard-go"
    failing.parent.mkdir()
    failing.write_text(
        f"#!{sys.executable}\n"
        "import socket, sys\n"
        "listening = socket.socket(socket.AF_UNIX)\n"
        f"listening.bind('{SOCKETS}/' + sys.argv[2] + '.sock')\n"
        "listening.listen()\n"
        "listening.accept()[0].close()\n"
        "print('ERROR: Failed to listen on uapi socket: too many open files')\n"
        "sys.exit(1)\n"
    )
    failing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{failing.parent}:{os.environ['PATH']}")
    devices = await devices_in(pair[0])
    with pair[0].entered(), pytest.raises(RouterError, match=r"uapi socket: too many.*max_user_instances"):
        await devices.create(end)


async def test_impossible_name_is_an_error_that_leaves_nothing(
    pair: list[TestNamespace], devices_in: Opener, tmp_path: Path
) -> None:
    end, _ = tunnel_pair()
    devices = await devices_in(pair[0])
    with pair[0].entered(), pytest.raises(RouterError, match=r"does not start|cannot make"):
        await devices.create(replace(end, device="re6st-too-long-a-name"))
    assert list(tmp_path.iterdir()) == []


async def test_missing_program_is_named_with_its_package(
    pair: list[TestNamespace], devices_in: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end, _ = tunnel_pair()
    with pair[0].entered():
        devices = await devices_in(pair[0])
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ConfigError, match="Debian package wireguard-go"):
            await devices.create(end)
