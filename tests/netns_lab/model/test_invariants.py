"""Each thing that must hold is missed when it does not."""

from typing import Any

import pytest

from netns_lab.model.invariants import problems
from netns_lab.model.mesh import Mesh
from re6stnet.engine.messages import PeerSeen, RouteChange
from re6stnet.engine.negotiation import MAX_TUNNELS
from re6stnet.engine.tunnel import State, Tunnel


@pytest.fixture
def mesh() -> Mesh:
    """Five nodes that have nothing to complain about."""
    mesh = Mesh(seed=8, client_count=2)
    for _ in range(5):
        mesh.add()
    mesh.run(120)
    assert found(mesh) == ""
    return mesh


def found(mesh: Mesh) -> str:
    return "\n".join(problems(mesh, [mesh.nodes]))


def engine(mesh: Mesh, index: int = 0) -> Any:
    return mesh.nodes[index].engine


def test_pairs_that_do_not_reach_each_other(mesh: Mesh) -> None:
    mesh.cut(mesh.nodes[:1], mesh.nodes[1:])
    assert "8 pairs do not reach each other: n1 to n2, n1 to n3, n1 to n4" in found(mesh)
    assert problems(mesh, [mesh.nodes[:1], mesh.nodes[1:]]) == []


def test_an_exception_of_an_engine(mesh: Mesh) -> None:
    mesh.mistakes.append("n1: KeyError")
    assert "exception: n1: KeyError" in found(mesh)


def test_a_tunnel_that_the_peer_does_not_hold(mesh: Mesh) -> None:
    tunnel = next(iter(engine(mesh).tunnels))
    peer = mesh.by_prefix[tunnel.peer]
    assert peer.engine is not None
    held = peer.engine.tunnels.get(tunnel.nonce)
    assert held is not None
    peer.engine.tunnels.drop(held, "for the test", now=mesh.now)
    assert f"n1: has held {tunnel.nonce[:8]}" in found(mesh)
    assert f"{peer.name} does not" in found(mesh)


def test_a_tunnel_that_never_gets_anywhere(mesh: Mesh) -> None:
    tunnel = next(iter(engine(mesh).tunnels))
    tunnel.state, tunnel.since = State.OFFERED, 0.0
    assert "has been offered for too long" in found(mesh)


def test_a_tunnel_without_device(mesh: Mesh) -> None:
    mesh.nodes[0].tunnels.clear()
    assert "n1: believes in" in found(mesh)


def test_too_many_tunnels_and_two_with_one_peer(mesh: Mesh) -> None:
    for number in range(MAX_TUNNELS):
        nonce = f"{number:032x}"
        engine(mesh).tunnels._tunnels[nonce] = Tunnel(
            nonce, mesh.nodes[1].prefix, False, "wireguard", State.OFFERED, mesh.now
        )
    text = found(mesh)
    assert "n1: holds 4" in text
    assert "n1: has accepted 4" in text
    assert "n1: holds two tunnels with one peer" in text


def test_books_that_grow(mesh: Mesh) -> None:
    engine(mesh).tunnels._seen.update({f"{number:032x}": 1e9 for number in range(20_000)})
    assert "its books grow without bound" in found(mesh)


def test_a_route_to_a_dead_node(mesh: Mesh) -> None:
    mesh.nodes[4].host.alive = False
    engine(mesh).routes.apply([RouteChange(mesh.nodes[4].prefix, "x", 1, True)])
    assert "n1: has routes to 1 nodes that are dead" in found(mesh)


def test_a_timer_that_stands_still(mesh: Mesh) -> None:
    engine(mesh)._select_at = mesh.now - 60
    assert "n1: its timer stands at" in found(mesh)


def test_peers_beyond_the_books_bound_never_get_in(mesh: Mesh) -> None:
    prefix = mesh.nodes[1].prefix
    engine(mesh).peers.learn([PeerSeen(type(prefix)(16, number), ()) for number in range(1000, 3000)])
    assert found(mesh) == ""
