"""What the kernel should have and what it has; the last test asks a real kernel."""

import os
import resource
from ipaddress import IPv6Address, IPv6Network

import pytest

from babel_ctl.errors import RouterError
from babel_ctl.kernel import (
    ANYWHERE,
    DEFAULT_METRIC,
    LEFTOVER_METRIC,
    Differences,
    KernelRoute,
    KernelRoutes,
    compare,
    expected,
)
from babel_ctl.messages import Route
from babel_ctl.netlink import Netlink
from tests.helpers.namespace_tests import namespaces

PREFIX, OTHER = IPv6Network("2001:db8:42:1::/64"), IPv6Network("2001:db8:42:2::/64")
VIA = IPv6Address("fe80::1")
NAMES = {1: "lo", 2: "t0", 3: "t1"}


def kernel_route(
    prefix: IPv6Network = PREFIX, oif: int = 2, metric: int = 1024, kind: int = 1
) -> KernelRoute:
    return KernelRoute(prefix, ANYWHERE, metric, VIA, oif, None, 254, kind)


def test_installed_reachable_routes_are_expected() -> None:
    route = Route(1, PREFIX, ANYWHERE, True, "", 96, 0, VIA, "t0")
    retracted = Route(2, OTHER, ANYWHERE, True, "", 65535, 0, VIA, "t0")
    spare = Route(3, OTHER, ANYWHERE, False, "", 96, 0, VIA, "t0")
    assert expected([route, retracted, spare]) == {(PREFIX, ANYWHERE): (VIA, "t0")}


def test_agreement_is_no_difference() -> None:
    wanted = {(PREFIX, ANYWHERE): (VIA, "t0")}
    unreachable, leftover = kernel_route(OTHER, kind=7), kernel_route(OTHER, metric=LEFTOVER_METRIC)
    assert not compare([kernel_route(), unreachable, leftover], wanted, NAMES)


def test_a_wrong_next_hop_a_missing_and_a_surplus_route_are_differences() -> None:
    wrong, surplus = kernel_route(oif=3), kernel_route(IPv6Network("2001:db8:42:9::/64"))
    wanted = {(PREFIX, ANYWHERE): (VIA, "t0"), (OTHER, ANYWHERE): (VIA, "t0")}
    found = compare([wrong, surplus], wanted, NAMES)
    assert {destination[0] for destination, _ in found.missing} == {PREFIX, OTHER}
    assert found.surplus == {wrong, surplus}
    assert not found & Differences(frozenset(), frozenset())


async def test_whatever_netlink_says_is_the_known_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*args: object, **options: object) -> None:
        raise OSError(12, os.strerror(12))

    routes = KernelRoutes(IPv6Network("2001:db8:42::/48"), IPv6Address("2001:db8:42::1"))
    monkeypatch.setattr(Netlink, "dump", no_memory)
    monkeypatch.setattr(Netlink, "do", no_memory)
    differences = Differences(frozenset({((PREFIX, ANYWHERE), (VIA, "lo"))}), frozenset())
    for call in (
        routes.routes(),
        routes.demote(),
        routes.delete([kernel_route()]),
        routes.repair(differences),
    ):
        with pytest.raises(RouterError, match="Cannot allocate memory"):
            await call


async def test_no_descriptor_for_a_netlink_socket_is_the_known_error() -> None:
    routes = KernelRoutes(IPv6Network("2001:db8:42::/48"), IPv6Address("2001:db8:42::1"))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(RouterError, match="Too many open files"):
            await routes.routes()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.root
async def test_demotion_keeps_the_way_and_leaves_other_networks_alone() -> None:
    with namespaces(1) as [node], node.entered():
        node.run("ip link add t0 type veth peer name t1")
        node.run("ip addr add 2001:db8:42::1/128 dev lo")
        node.run("ip link set t0 up")
        node.run("ip link set t1 up")
        source = "src 2001:db8:42::1"
        node.run(f"ip route add {PREFIX} via fe80::1 dev t0 proto babel {source}")
        node.run(f"ip route add unreachable {OTHER} proto babel metric 4294967295")
        node.run("ip route add 2001:db8:43::/48 via fe80::1 dev t0 proto babel")
        node.run("ip route add default from 2001:db8:42::/48 via fe80::1 dev t0 proto babel")
        routes = KernelRoutes(IPv6Network("2001:db8:42::/48"), IPv6Address("2001:db8:42::1"))
        assert {route.metric for route in await routes.routes()} == {DEFAULT_METRIC, 4294967295}
        leftovers = await routes.demote()
        assert {route.prefix for route in leftovers} == {PREFIX, ANYWHERE}
        assert set(await routes.routes()) == set(leftovers)
        assert set(await routes.demote()) == set(leftovers)  # again: after a death in the middle
        assert f"{PREFIX} via fe80::1 dev t0 proto babel {source}" in node.run("ip -6 route")
        await routes.delete(leftovers)
        await routes.delete(leftovers)
        assert await routes.routes() == []
        assert "2001:db8:43::/48" in node.run("ip -6 route")


@pytest.mark.root
async def test_a_held_route_takes_over_when_babeld_takes_its_own_away() -> None:
    with namespaces(1) as [node], node.entered():
        node.run("ip link add t0 type veth peer name t1")
        node.run("ip addr add 2001:db8:42::1/128 dev lo")
        node.run("ip link set t0 up")
        node.run("ip link set t1 up")
        node.run(f"ip route add {PREFIX} via fe80::1 dev t0 proto babel")
        routes = KernelRoutes(IPv6Network("2001:db8:42::/48"), IPv6Address("2001:db8:42::1"))
        routes.hold({PREFIX: (VIA, "t0"), OTHER: (VIA, "gone")})
        routes.hold({PREFIX: (VIA, "t0")})
        node.run(f"ip route del {PREFIX} via fe80::1 dev t0 proto babel metric 1024")
        node.run(f"ip route add unreachable {PREFIX} proto babel metric 4294967295")
        assert "via fe80::1 dev t0" in node.run(f"ip -6 route get {PREFIX[1]}")
        assert [route.prefix for route in await routes.routes() if route.is_leftover] == [PREFIX]
        for _ in range(2):
            routes.let_go(PREFIX, (VIA, "t0"))
        assert not any(route.is_leftover for route in await routes.routes())
