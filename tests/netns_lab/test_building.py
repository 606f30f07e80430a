"""Every kind of site, built: who reaches whom, by which version of IP, through how many boxes, how large."""

import socket
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from netns_lab.building import SiteBuilder, carrier_network, outer_interface
from netns_lab.lab import Lab
from tests.helpers.lab_traffic import (
    NOTHING_WITHIN_S,
    Address,
    listener,
    pings,
    tcp_source,
    udp_round_trip,
    udp_source,
)
from tests.helpers.topologies import topology

TOPOLOGY = topology(
    """
    [[site]]
    name = "four"
    [[site]]
    name = "six"
    ip = ["ipv6"]
    [[site]]
    name = "both"
    ip = ["ipv4", "ipv6"]
    [[site]]
    name = "home"
    ip = ["ipv4", "ipv6"]
    nat = "port_restricted"
    nodes = ["h1", "h2"]
    [[site]]
    name = "mobile"
    ip = ["ipv4", "ipv6"]
    nat = "carrier_grade"
    nodes = ["m1"]
    mtu = 1400
    [[site]]
    name = "guarded"
    ip = ["ipv4", "ipv6"]
    blocked = ["udp", "icmp"]
    [[site]]
    name = "barn"
    offline = true
    ip = ["ipv4", "ipv6"]
    nodes = ["b1", "b2"]
    [[site]]
    name = "thin"
    mtu = 1280
    [[site]]
    name = "slow"
    rate_mbit = 1
    [[link]]
    from = "both"
    to = "slow"
    rtt_ms = 400
    [delays]
    all_ms = 1
    """
)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(TOPOLOGY) as lab:
        yield lab


def public(name: str, version: int = 4) -> Address:
    site = TOPOLOGY.site(name)
    address = site.address if version == 4 else site.address6
    assert address is not None
    return address


def own6(name: str) -> IPv6Address:
    address = TOPOLOGY.address6_of(name)
    assert address is not None
    return address


@pytest.mark.root
@pytest.mark.parametrize("source", ["four", "both", "h1", "h2", "m1", "guarded", "thin"])
def test_ipv4_reaches_the_outside_from_the_public_address(lab: Lab, source: str) -> None:
    to = "both" if source == "four" else "four"
    assert tcp_source(lab, source, to, public(to), 80) == public(source)


@pytest.mark.root
@pytest.mark.parametrize("source", ["both", "h1", "h2", "m1", "guarded"])
def test_ipv6_reaches_the_outside_untranslated(lab: Lab, source: str) -> None:
    assert tcp_source(lab, source, "six", public("six", 6), 80) == own6(source)


@pytest.mark.root
@pytest.mark.parametrize("node", ["h1", "m1"])
def test_ipv6_behind_a_box_lets_answers_in_and_nothing_unasked(lab: Lab, node: str) -> None:
    assert udp_round_trip(lab, node, "both", public("both", 6), 5000, within_s=5)
    assert udp_source(lab, "both", node, own6(node), 5000, within_s=NOTHING_WITHIN_S) is None
    assert tcp_source(lab, "six", node, own6(node), 80, within_s=NOTHING_WITHIN_S) is None


@pytest.mark.root
def test_a_machine_has_only_the_addresses_that_the_topology_says(lab: Lab) -> None:
    def addresses(name: str, version: int) -> list[str]:
        command = ["ip", f"-{version}", "-o", "addr", "show", "dev", "net0", "scope", "global"]
        return [line.split()[3] for line in lab.machines[name].run(command).splitlines()]

    assert addresses("four", 4) == ["203.0.113.1/24"]
    assert addresses("four", 6) == addresses("six", 4) == []
    assert addresses("six", 6) == ["2001:db8:1::1/48"]
    assert addresses("h2", 4) == ["192.168.4.11/24"]
    assert addresses("h2", 6) == ["2001:db8:1:4::b/64"]
    assert addresses("b1", 6) == ["2001:db8:1:7::a/64"]


@pytest.mark.root
def test_nodes_of_a_lan_talk_directly_and_an_offline_one_to_nobody_else(lab: Lab) -> None:
    for one, two in (("h1", "h2"), ("b1", "b2")):
        four = TOPOLOGY.address_of(two)
        assert four is not None
        assert udp_source(lab, one, two, four, 5000) == TOPOLOGY.address_of(one)
        assert udp_source(lab, one, two, own6(two), 5000) == own6(one)
    assert lab.machines["b1"].run(["ip", "route", "show", "default"]) == ""
    assert lab.machines["b1"].run(["ip", "-6", "route", "show", "default"]) == ""
    assert not pings(lab, "b1", public("four"))


@pytest.mark.root
def test_two_nats_are_two_routers(lab: Lab) -> None:
    def ttl_of_answer(node: str) -> int:
        output = lab.machines[node].run(["ping", "-n", "-c", "1", "-W", "2", str(public("four"))])
        return int(output.partition("ttl=")[2].split()[0])

    assert (ttl_of_answer("both"), ttl_of_answer("h1"), ttl_of_answer("m1")) == (64, 63, 62)
    inside = lab.machines["mobile-carrier"].run(["ip", "-o", "-4", "addr", "show", "dev", "lan"])
    assert f"{carrier_network(4)[1]}/24" in inside


@pytest.mark.root
def test_the_mtu_of_a_line_holds_both_ways_and_its_owner_knows(lab: Lab) -> None:
    assert pings(lab, "four", public("thin"), size=1280 - 28)
    assert not pings(lab, "four", public("thin"), size=1281 - 28, within_s=NOTHING_WITHIN_S)
    with pytest.raises(Exception, match=r"message too long, mtu.1280"):
        lab.machines["thin"].run(["ping", "-n", "-c", "1", "-M", "do", "-s", "1300", str(public("four"))])


@pytest.mark.root
def test_tcp_behind_a_nat_is_told_of_the_small_line(lab: Lab) -> None:
    with (
        listener(lab, "four", 4, 81) as server,
        lab.machines["m1"].socket(socket.AF_INET, socket.SOCK_STREAM) as client,
    ):
        for each in (server, client):
            each.settimeout(5)
        client.connect((str(public("four")), 81))
        accepted, _ = server.accept()
        with accepted:
            # 1400 bytes less 20 for IP, 20 for TCP and 12 for its time stamps.
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) == 1348


@pytest.mark.root
@pytest.mark.parametrize("version", [4, 6])
def test_a_firewall_blocks_both_versions_but_not_neighbours(lab: Lab, version: int) -> None:
    to = public("guarded", version)
    assert tcp_source(lab, "both", "guarded", to, 80) == public("both", version)
    assert udp_source(lab, "both", "guarded", to, 5000, within_s=NOTHING_WITHIN_S) is None
    assert not pings(lab, "both", to, within_s=NOTHING_WITHIN_S)


@pytest.mark.root
def test_an_access_line_carries_no_more_than_its_rate(lab: Lab) -> None:
    with (
        lab.machines["slow"].socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        lab.machines["four"].socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
    ):
        receiver.bind(("", 5001))
        receiver.settimeout(5)
        began = time.monotonic()
        for _ in range(11):
            sender.sendto(bytes(958), (str(public("four")), 5001))  # 1000 bytes with all headers
        for _ in range(11):
            receiver.recv(1000)
        assert time.monotonic() - began >= 0.08  # ten times 8 ms behind the first


@pytest.mark.root
def test_a_link_of_its_own_holds_for_that_pair_alone(lab: Lab) -> None:
    def rtt_ms(source: str) -> float:
        output = lab.machines[source].run(["ping", "-n", "-c", "1", "-W", "2", str(public("slow"))])
        return float(output.partition("time=")[2].split()[0])

    assert rtt_ms("both") >= 400 > rtt_ms("four")


def test_the_outer_interface_is_where_the_internet_comes_out() -> None:
    outer = {site.name: outer_interface(site) for site in TOPOLOGY.sites}
    assert outer["four"] == ("four", "net0")
    assert outer["home"] == ("home-box", "inet")
    assert outer["mobile"] == ("mobile-carrier", "inet")


def test_public_addresses_have_the_length_of_their_internet() -> None:
    def builder(name: str) -> SiteBuilder:
        return SiteBuilder(TOPOLOGY, TOPOLOGY.port(name), {})

    assert builder("four").public(4) == "203.0.113.1/24"
    assert builder("four").public(6) is None
    assert builder("six").take_address(4, "net0") == []
    own, route, *neighbours = builder("six").take_address(6, "net0")
    assert (own, route) == ("addr add 2001:db8:1::1/48 dev net0 nodad", "route replace ::/0 dev net0")
    others = [site.address6 for site in TOPOLOGY.sites if site.address6 and site.name != "six"]
    assert [line.split()[2] for line in neighbours] == [str(address) for address in others]
    assert carrier_network(0)[1] == IPv4Address("100.64.1.1")
