"""What a topology says of its nodes: addresses, and who can ask whom."""

from ipaddress import IPv4Address, IPv6Address

import pytest

from netns_lab.topology import Topology
from tests.helpers.topologies import FLAT, topology


def test_addresses_are_public_or_of_the_lan(small: Topology) -> None:
    assert small.address_of("a") == IPv4Address("203.0.113.1")
    assert small.address_of("h2") == IPv4Address("192.168.1.11")
    assert small.direct_rtt_ms("h1", "h2") == 0
    assert small.direct_rtt_ms("a", "h2") == 10


def test_a_node_behind_a_nat_can_be_asked_only_from_its_lan(small: Topology) -> None:
    assert small.direct_address("a", "h1") is None
    assert small.direct_address("h2", "h1") == IPv4Address("192.168.1.10")
    assert small.direct_address("h1", "a") == IPv4Address("203.0.113.1")


def test_names_of_sites_and_nodes_lead_to_the_same_port(small: Topology) -> None:
    assert small.port("home") == small.port("h1") == 3
    assert small.site("h2") is small.site_of("h2") is small.sites[3]
    with pytest.raises(KeyError):
        small.port("nobody")
    with pytest.raises(KeyError):
        small.site_of("home")


def test_without_a_common_version_of_ip_there_is_no_direct_way() -> None:
    read = topology(
        '[[site]]\nname = "four"\n[[site]]\nname = "six"\nip = ["ipv6"]\n'
        '[[site]]\nname = "both"\nip = ["ipv4", "ipv6"]\n'
        '[[site]]\nname = "off"\noffline = true\nnodes = ["p", "q"]\n' + FLAT
    )
    assert read.direct_address("four", "six") is None
    assert read.direct_address("four", "both") == read.address_of("both")
    assert read.direct_address("both", "six") == IPv6Address("2001:db8:1::1")
    assert read.direct_address("p", "four") is None
    assert read.direct_address("four", "p") is None
    assert read.direct_address("p", "q") == IPv4Address("192.168.4.11")
