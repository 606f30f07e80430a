"""A small lab: two plain sites, one without UDP, one behind a NAT."""

import pytest

from netns_lab.topology import Topology, parse_topology
from tests.helpers.topologies import SMALL


@pytest.fixture
def small() -> Topology:
    return parse_topology(SMALL, name="small", source="small")
