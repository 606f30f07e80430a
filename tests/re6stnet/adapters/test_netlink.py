"""The kernel really has what was asked, once or twice, and nothing of it after removal."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv6Address, IPv6Interface, IPv6Network, ip_address

import pytest

from babel_ctl.netlink import Netlink
from re6st_core.errors import RouterError
from re6st_core.netlink_wire import attribute, u32
from re6stnet.adapters.netlink import Kernel
from tests.helpers.namespace_tests import TestNamespace, connect, device_name, namespaces

pytestmark = pytest.mark.root
NETWORK = IPv6Network("2001:db8:42::/48")
ADDRESS = IPv6Interface("2001:db8:42:7::1/128")
MARK = 0x6E6


@pytest.fixture
def namespace() -> Iterator[TestNamespace]:
    with namespaces(1) as (made,), made.entered():
        yield made


@pytest.fixture
async def kernel(namespace: TestNamespace) -> AsyncIterator[Kernel]:
    opened = await Kernel.open()
    yield opened
    await opened.close()


async def test_address_comes_once_and_goes_twice(namespace: TestNamespace, kernel: Kernel) -> None:
    for _ in range(2):
        await kernel.add_address("lo", ADDRESS)
    assert str(ADDRESS) in namespace.run("ip -6 address show dev lo")
    for _ in range(2):
        await kernel.remove_address("lo", ADDRESS)
    assert str(ADDRESS.ip) not in namespace.run("ip -6 address show dev lo")


async def test_unknown_part_of_the_network_is_unreachable(namespace: TestNamespace, kernel: Kernel) -> None:
    for _ in range(2):
        await kernel.add_unreachable(NETWORK)
    assert f"unreachable {NETWORK} dev lo proto static" in namespace.run("ip -6 route")
    for _ in range(2):
        await kernel.remove_unreachable(NETWORK)
    assert str(NETWORK) not in namespace.run("ip -6 route")


async def test_marked_packets_stay_off_the_overlay_and_others_do_not(
    namespace: TestNamespace, kernel: Kernel
) -> None:
    with namespaces(1) as (other,):
        connect(namespace, other)
        namespace.run(f"ip route add {NETWORK} via 2001:db8:1::2")
        for _ in range(2):
            await kernel.protect_underlay(NETWORK, MARK)
        assert namespace.run("ip -6 rule").count(str(NETWORK)) == 1
        assert "dev wire" in namespace.run("ip route get 2001:db8:42:9::1")
        with pytest.raises(AssertionError, match="unreachable"):
            namespace.run(f"ip route get 2001:db8:42:9::1 mark {MARK}")
        assert "dev wire" in namespace.run(f"ip route get 2001:db8:1::2 mark {MARK}")
        for _ in range(2):
            await kernel.unprotect_underlay(NETWORK, MARK)
        assert str(NETWORK) not in namespace.run("ip -6 rule")


async def test_device_gets_mtu_and_its_only_link_local_address(
    namespace: TestNamespace, kernel: Kernel
) -> None:
    device = device_name()
    namespace.run(f"ip tuntap add {device} mode tun")
    for _ in range(2):
        await kernel.bring_up(device, mtu=1340, link_local=IPv6Address("fe80::1234"))
    shown = namespace.run(f"ip address show dev {device}")
    assert "mtu 1340" in shown
    assert shown.count("inet6") == 1
    assert "fe80::1234/64" in shown
    assert [link.name for link in await kernel.links("re6st")] == [device]
    for _ in range(2):
        await kernel.delete_link(device)
    assert await kernel.links("re6st") == []


async def test_far_end_of_a_tunnel_does_not_become_our_router(
    namespace: TestNamespace, kernel: Kernel
) -> None:
    settings = [f"net.ipv6.conf.{{}}.{name}" for name in ("accept_ra", "autoconf")]
    namespace.run("sysctl -w net.ipv6.conf.default.accept_ra=2")
    device = device_name()
    namespace.run(f"ip tuntap add {device} mode tap")
    await kernel.bring_up(device, mtu=1340, link_local=IPv6Address("fe80::1234"))
    assert namespace.run("sysctl -n " + " ".join(settings).format(device, device)).split() == ["0", "0"]
    before = namespace.run("sysctl -n " + " ".join(settings).format("lo", "lo"))
    await kernel.bring_up("lo", mtu=65536)
    assert namespace.run("sysctl -n " + " ".join(settings).format("lo", "lo")) == before


async def test_underlay_addresses_are_those_that_others_can_use(
    namespace: TestNamespace, kernel: Kernel
) -> None:
    with namespaces(1) as (other,):
        connect(namespace, other)
        namespace.run("ip tuntap add re6st00000001 mode tun")
        namespace.run("ip address add 2001:db8:9::1/128 dev re6st00000001")
        await kernel.add_address("lo", ADDRESS)
        found = await kernel.underlay_addresses(NETWORK, tunnel_prefix="re6st")
    assert found == [ip_address("192.0.2.1"), ip_address("2001:db8:1::1")]


@pytest.mark.parametrize(
    "rest", [b"", b"ends", attribute(1, b"12345"), attribute(1, bytes(4)) + u32(8, 0)[:7]]
)
async def test_addresses_that_the_kernel_would_never_tell_are_an_error_of_the_router(
    monkeypatch: pytest.MonkeyPatch, rest: bytes
) -> None:
    header = bytes([socket.AF_INET, 24, 0, 0, 1, 0, 0, 0])
    with Netlink() as netlink:
        monkeypatch.setattr(netlink, "dump", lambda _kind, _payload: [header + rest if rest else header[:-1]])
        with pytest.raises(RouterError, match="cannot list addresses"):
            await Kernel(netlink).underlay_addresses(NETWORK, tunnel_prefix="re6st")


async def test_coming_link_is_noticed(namespace: TestNamespace, kernel: Kernel) -> None:
    waiting = asyncio.create_task(kernel.wait_for_link("re6st00000002"))
    await kernel.links()
    assert not waiting.done()
    namespace.run("ip tuntap add re6st00000002 mode tap")
    assert (await asyncio.wait_for(waiting, 5)).name == "re6st00000002"


async def test_missing_device_is_an_error_of_the_router(kernel: Kernel) -> None:
    with pytest.raises(RouterError, match="no network device nowhere"):
        await kernel.add_address("nowhere", ADDRESS)


async def test_many_requests_at_once_do_not_mix(kernel: Kernel) -> None:
    found = await asyncio.gather(*[kernel.links("lo") for _ in range(50)])
    assert {tuple(link.name for link in links) for links in found} == {("lo",)}
