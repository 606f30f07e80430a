"""A small lab: two plain sites, one without UDP, one behind a NAT."""

import pytest

from netns_lab.topology import Topology, parse_topology

DOCUMENT = {
    "title": "small",
    "internet": "203.0.113.0/24",
    "site": [
        {"name": "a", "address": "203.0.113.1"},
        {"name": "b", "address": "203.0.113.2"},
        {"name": "c", "address": "203.0.113.3", "blocked": ["udp"]},
        {
            "name": "home",
            "address": "203.0.113.4",
            "nat": "masquerade",
            "lan": "192.168.1.0/24",
            "nodes": ["h1", "h2"],
        },
    ],
    "delays": {"rtt_ms": [[0, 20, 30, 10], [20, 0, 10, 10], [30, 10, 0, 10], [10, 10, 10, 0]]},
}


@pytest.fixture
def small() -> Topology:
    return parse_topology(DOCUMENT, name="small", source="small")
