"""Nodes whose Internets are different ones: each joins by what it has, and they meet on one that has both.

four: IPv4 only      six: IPv6 only      both, registry: either
"""

import asyncio
from ipaddress import IPv6Address

import pytest

from netns_lab.lab import Lab
from netns_lab.mesh import Mesh
from tests.helpers.lab_status import everybody_answers
from tests.helpers.topologies import FLAT, topology

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

BOTH = 'ip = ["ipv4", "ipv6"]\n'
SIX = 'ip = ["ipv6"]\n'


def form(text: str) -> dict[str, set[str]]:
    """Let a mesh form until every pair answers; the peers of each node."""

    async def story() -> dict[str, set[str]]:
        with Lab(topology(text + FLAT)) as lab, Mesh(lab, registry="registry", client_count=2) as mesh:
            await mesh.form(lambda _: None)
            await everybody_answers(mesh, within_s=60)
            names = {cn: node for node, cn in mesh.cns.items()}
            every = {node: await mesh.tunnels(node) for node in mesh.nodes}
        return {node: {names[each.peer] for each in every[node] if each.active} for node in every}

    return asyncio.run(story())


def test_who_has_only_one_version_meets_the_others_by_a_node_that_has_both() -> None:
    sites = (("registry", BOTH), ("four", ""), ("six", SIX), ("both", BOTH))
    text = "".join(f'[[site]]\nname = "{name}"\n{ip}' for name, ip in sites)
    assert form(text) == {"four": {"both"}, "six": {"both"}, "both": {"four", "six"}}


def test_a_mesh_forms_where_there_is_no_ipv4_at_all() -> None:
    text = f'[defaults]\n{SIX}[[site]]\nname = "registry"\n[[site]]\nname = "n"\ncount = 2\n'
    assert form(text) == {"n1": {"n2"}, "n2": {"n1"}}


def test_the_url_of_a_registry_without_ipv4_has_brackets() -> None:
    with Lab(topology(f'[[site]]\nname = "registry"\n{SIX}')) as lab:
        url = Mesh(lab, registry="registry").url
    assert url == f"http://[{IPv6Address('2001:db8:1::1')}]/"
