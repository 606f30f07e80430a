"""Firewalls: what is blocked vanishes silently both ways, only what is listed passes, answers come back."""

from collections.abc import Iterator

import pytest

from netns_lab.boxes.firewall import clamp_segments, firewall_rules
from netns_lab.lab import Lab
from netns_lab.topology import Service, Site
from tests.helpers.lab_traffic import (
    NOTHING_WITHIN_S,
    WITHIN_S,
    Address,
    pings,
    tcp_source,
    udp_round_trip,
    udp_source,
)
from tests.helpers.topologies import topology

TOPOLOGY = topology(
    """
    [defaults]
    ip = ["ipv4", "ipv6"]
    [[site]]
    name = "open"
    [[site]]
    name = "no-udp"
    blocked = ["udp"]
    [[site]]
    name = "no-icmp"
    blocked = ["icmp"]
    [[site]]
    name = "web-only"
    outbound = ["tcp/443", "udp/53"]
    [[site]]
    name = "one-port"
    inbound = ["udp/1194", "tcp/1194"]
    [[site]]
    name = "office"
    ip = ["ipv4"]
    nat = "full_cone"
    outbound = ["tcp/443", "icmp"]
    nodes = ["desk"]
    [[site]]
    name = "server"
    outbound = []
    inbound = ["tcp/443"]
    [delays]
    all_ms = 1
    """
)
VERSIONS = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(TOPOLOGY) as lab:
        yield lab


def at(name: str, version: int) -> Address:
    site = TOPOLOGY.site(name)
    address = site.address if version == 4 else site.address6
    assert address is not None
    return address


class Traffic:
    """Between the open site and a guarded one: whether it comes within that time."""

    def __init__(self, lab: Lab, guarded: str, version: int, within_s: float) -> None:
        self.lab = lab
        self.within_s = within_s
        self.guarded = guarded
        self.open = at("open", version)
        self.address = at(guarded, version)

    def tcp_out(self, port: int) -> bool:
        return bool(tcp_source(self.lab, self.guarded, "open", self.open, port, within_s=self.within_s))

    def tcp_in(self, port: int) -> bool:
        return bool(tcp_source(self.lab, "open", self.guarded, self.address, port, within_s=self.within_s))

    def udp_out(self, port: int) -> bool:
        """There and back."""
        return udp_round_trip(self.lab, self.guarded, "open", self.open, port, within_s=self.within_s)

    def udp_in(self, port: int) -> bool:
        return bool(udp_source(self.lab, "open", self.guarded, self.address, port, within_s=self.within_s))

    def ping_out(self) -> bool:
        return pings(self.lab, self.guarded, self.open, within_s=self.within_s)

    def ping_in(self) -> bool:
        return pings(self.lab, "open", self.address, within_s=self.within_s)


def passing_and_not(lab: Lab, guarded: str, version: int) -> tuple[Traffic, Traffic]:
    """To ask for what should pass, which may be slow, and for what should not."""
    return Traffic(lab, guarded, version, WITHIN_S), Traffic(lab, guarded, version, NOTHING_WITHIN_S)


@pytest.mark.root
@VERSIONS
def test_what_is_blocked_vanishes_both_ways_and_the_rest_passes(lab: Lab, version: int) -> None:
    yes, no = passing_and_not(lab, "no-udp", version)
    assert not no.udp_in(5000)
    assert not no.udp_out(5000)
    assert yes.tcp_in(80)
    assert yes.tcp_out(80)
    assert yes.ping_in()
    yes, no = passing_and_not(lab, "no-icmp", version)
    assert not no.ping_in()
    assert not no.ping_out()
    assert yes.udp_out(5000)


@pytest.mark.root
@VERSIONS
def test_only_listed_services_leave_and_their_answers_come_back(lab: Lab, version: int) -> None:
    yes, no = passing_and_not(lab, "web-only", version)
    assert yes.tcp_out(443)
    assert yes.udp_out(53)
    assert not no.tcp_out(80)
    assert not no.udp_out(5000)
    assert not no.tcp_in(443)
    assert not no.udp_in(53)
    assert not no.ping_out()
    assert not no.ping_in()


@pytest.mark.root
@VERSIONS
def test_one_port_is_open_and_udp_has_no_memory(lab: Lab, version: int) -> None:
    yes, no = passing_and_not(lab, "one-port", version)
    assert yes.tcp_in(1194)
    assert yes.udp_in(1194)
    assert not no.tcp_in(80)
    assert not no.udp_in(5000)
    assert yes.tcp_out(80)
    assert not no.udp_out(5000)  # it leaves, but the answer goes to a port that is not listed
    assert yes.ping_out()
    assert not no.ping_in()


@pytest.mark.root
@VERSIONS
def test_a_server_answers_where_nothing_may_leave_by_itself(lab: Lab, version: int) -> None:
    yes, no = passing_and_not(lab, "server", version)
    assert yes.tcp_in(443)
    assert not no.tcp_in(80)
    assert not no.tcp_out(443)


@pytest.mark.root
def test_a_nat_box_filters_too_even_what_its_kind_lets_in(lab: Lab) -> None:
    server = at("open", 4)
    assert tcp_source(lab, "desk", "open", server, 443) == at("office", 4)
    assert tcp_source(lab, "desk", "open", server, 80, within_s=NOTHING_WITHIN_S) is None
    assert udp_source(lab, "desk", "open", server, 5000, within_s=NOTHING_WITHIN_S) is None
    assert pings(lab, "desk", server)


def test_rules_name_only_what_the_site_says() -> None:
    site = Site("s", ("s",), blocked=("udp",))
    rules = firewall_rules(site, inside="lan0", outside="inet", bridge=True)
    assert "table bridge firewall" in rules
    assert "meta l4proto udp drop" in rules
    assert "dport" not in rules
    site = Site("s", ("s",), outbound=(Service("udp"), Service("icmp")))
    rules = firewall_rules(site, inside="lan", outside="inet", bridge=False)
    assert "table inet firewall" in rules
    leaving, entering = (
        rules.partition(f"chain {name}")[2].partition("}")[0] for name in ("leaving", "entering")
    )
    assert "meta l4proto udp accept" in leaving
    assert "meta l4proto { icmp" in rules
    assert "echo-reply" in entering


@pytest.mark.root
def test_segments_are_clamped_once(lab: Lab) -> None:
    box = lab.box("office")
    clamp_segments(box)
    assert "maxseg size set rt mtu" in box.run(["nft", "list", "ruleset"])
