"""Whether the overlay is reachable, from the kernel's own table."""

import subprocess

import pytest

from re6st_core.prefix import Network
from re6stnet.enrolment.reachable import overlaps, overlay_reached, usable_routes
from tests.helpers.namespace_tests import namespaces

NETWORK = Network.parse("2001:db8:42::/48")
LINES = """\
20010db800420003{0} 40 {1} 00 fe80{2} 00000400 00000001 00000000 00000003 re6st1
20010db80042{3} 30 {1} 00 {1} 00000400 00000001 00000000 00200200 lo
20010db800420002{4} 80 {1} 00 {1} 00000000 00000002 00000000 80200001 lo
{1} 00 {1} 00 fe80{2} 00000400 00000001 00000000 00450003 eth0
""".format("0" * 16, "0" * 32, "0" * 28, "0" * 20, "0" * 15 + "1")


def test_only_real_routes_count() -> None:
    routes = [str(route) for route in usable_routes(LINES.splitlines())]
    assert routes == ["2001:db8:42:3::/64"]
    assert [overlaps(route, NETWORK) for route in usable_routes(LINES.splitlines())] == [True]


@pytest.mark.root
@pytest.mark.parametrize(
    ("route", "reached"),
    [
        ("unreachable 2001:db8:42::/48", False),
        ("blackhole 2001:db8:42::/48", False),
        ("default via fe80::1 dev wire", False),
        ("2001:db8:43::/48 via fe80::1 dev wire", False),
        ("2001:db8:42:7::/64 via fe80::1 dev wire", True),
        ("2001:db8:42::/48 via fe80::1 dev wire", True),
        ("2001:db8::/32 via fe80::1 dev wire", True),
    ],
)
def test_the_kernel_s_table(route: str, reached: bool) -> None:
    with namespaces(2) as (space, other):
        subprocess.run(
            f"ip link add wire netns {space.name} type veth peer name wire netns {other.name}".split(),
            check=True,
        )
        space.run("ip link set wire up")
        space.run("ip addr add 2001:db8:42:2::1/128 dev lo")
        space.run(f"ip -6 route add {route}")
        with space.entered():
            assert overlay_reached(NETWORK) is reached


def test_this_very_host_can_be_asked() -> None:
    known = subprocess.run(["ip", "-6", "route", "show", "dead:beef::/32"], capture_output=True, check=False)
    assert overlay_reached(Network.parse("dead:beef::/32")) is bool(known.stdout.strip())
