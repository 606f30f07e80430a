"""What a topology says of its nodes: addresses, and who can ask whom."""

from ipaddress import IPv4Address

from netns_lab.topology import Topology


def test_addresses_are_public_or_of_the_lan(small: Topology) -> None:
    assert small.address_of("a") == IPv4Address("203.0.113.1")
    assert small.address_of("h2") == IPv4Address("192.168.1.11")
    assert small.direct_rtt_ms("h1", "h2") == 0
    assert small.direct_rtt_ms("a", "h2") == 10


def test_a_node_behind_a_nat_can_be_asked_only_from_its_lan(small: Topology) -> None:
    assert small.direct_address("a", "h1") is None
    assert small.direct_address("h2", "h1") == IPv4Address("192.168.1.10")
    assert small.direct_address("h1", "a") == IPv4Address("203.0.113.1")
