"""The underlay's way and the overlay's: what they find, and who pays."""

import pytest

from netns_lab.model.mesh import Mesh
from netns_lab.model.node import Node
from netns_lab.model.ways import OverlayWay, UnderlayWay


@pytest.fixture
def mesh() -> Mesh:
    """Five nodes, formed."""
    mesh = Mesh(seed=6, client_count=1)
    for _ in range(5):
        mesh.add()
    mesh.run(120)
    assert not mesh.unreached(mesh.nodes)
    return mesh


def far_pair(mesh: Mesh) -> tuple[Node, Node]:
    """Two nodes with a relay between them."""
    pairs = [(a, b) for a in mesh.nodes for b in mesh.nodes if len(mesh.path(a, b) or []) > 2]
    return pairs[0]


def test_tcp_finds_who_listens_there(mesh: Mesh) -> None:
    one, other = mesh.nodes[:2]
    way = UnderlayWay(mesh, one, 50000, (other.host.ip, other.port), lambda host: other.serves(host, 1194))
    assert not way.listens()  # nobody has looked yet
    assert way.one_way_s() == pytest.approx(mesh.underlay.delay_s(one.host.site, other.host.site))
    assert way.listens()
    before = mesh.ledger.total(one.name), mesh.ledger.total(other.name)
    way.count(100, back=False)
    way.count(1000, back=True)
    assert mesh.ledger.total(one.name) == before[0] + 100
    assert mesh.ledger.total(other.name) == before[1] + 1000
    other.kill_daemon()
    assert not way.listens()


def test_tcp_to_nowhere_finds_nothing(mesh: Mesh) -> None:
    way = UnderlayWay(mesh, mesh.nodes[0], 50000, (1, 1194), lambda _host: True)
    assert way.one_way_s() is None
    assert not way.listens()


def test_the_overlay_is_as_long_as_its_path_and_each_hop_pays(mesh: Mesh) -> None:
    one, other = far_pair(mesh)
    way, path = OverlayWay(mesh, one, other), mesh.path(one, other)
    assert path is not None
    assert way.one_way_s() == pytest.approx(mesh.path_s(path), rel=0.5)
    before = {n.name: mesh.ledger.total(n.name) for n in path}
    way.count(1000, back=False)
    grown = [mesh.ledger.total(n.name) - before[n.name] for n in path]
    assert all(size == grown[0] > 1000 for size in grown[:-1])
    assert grown[-1] == 0


def test_the_overlay_ends_where_a_hop_does(mesh: Mesh) -> None:
    one, other = far_pair(mesh)
    way, path = OverlayWay(mesh, one, other), mesh.path(one, other)
    assert path is not None
    assert way.listens()
    other.kill_daemon()
    assert not way.listens()
    path[1].kill()
    assert way.one_way_s() is None
