"""A small lab for tests of single nodes: a registry and three public nodes, 20 ms from each other."""

from collections.abc import AsyncIterator

import pytest

from netns_lab.lab import Lab
from netns_lab.mesh import Mesh
from netns_lab.topology import parse_topology

SITES = ("registry", "a", "b", "c")
SMALL = parse_topology(
    {
        "title": "a registry and three nodes",
        "internet": "203.0.113.0/24",
        "site": [{"name": name, "address": f"203.0.113.{n}"} for n, name in enumerate(SITES, 1)],
        "delays": {"rtt_ms": [[0.0 if a == b else 20.0 for b in SITES] for a in SITES]},
    },
    name="small",
    source="tests/lab/conftest.py",
)


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    """The nodes have joined, no daemon runs yet."""
    with Lab(SMALL) as lab, Mesh(lab, registry="registry", client_count=3) as mesh:
        await mesh.start_registry()
        for node in mesh.nodes:
            await mesh.join(node)
        yield mesh
