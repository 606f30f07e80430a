"""Nodes that may use one transport only: each gets what it may, and those without a common one a relay.

a: OpenVPN only      b: WireGuard only      both: either
"""

import asyncio

import pytest

from netns_lab.lab import Lab
from netns_lab.mesh import Mesh
from tests.helpers.lab_status import everybody_answers
from tests.helpers.topologies import topology

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

TOPOLOGY = topology(
    """
    [[site]]
    name = "registry"
    [[site]]
    name = "a"
    [[site]]
    name = "b"
    [[site]]
    name = "both"
    [node.a]
    transports = ["openvpn"]
    [node.b]
    transports = ["wireguard"]
    [delays]
    all_ms = 10
    """
)


def test_a_node_has_tunnels_of_its_transports_only() -> None:
    async def story() -> dict[str, set[str]]:
        with Lab(TOPOLOGY) as lab, Mesh(lab, registry="registry", client_count=2) as mesh:
            await mesh.form(lambda _: None)
            await everybody_answers(mesh, within_s=60)
            every = {node: await mesh.tunnels(node) for node in mesh.nodes}
        return {node: {each.transport for each in tunnels if each.active} for node, tunnels in every.items()}

    assert asyncio.run(story()) == {"a": {"openvpn"}, "b": {"wireguard"}, "both": {"openvpn", "wireguard"}}
