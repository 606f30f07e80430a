"""Engines talk to each other in memory: the mesh forms, keeps its limits, and mends itself."""

import math

import pytest

from re6st_core.peer_wire import OPENVPN, WIREGUARD
from re6stnet.engine.messages import PeerSeen, PeersLearned
from re6stnet.engine.negotiation import MAX_TUNNELS
from re6stnet.engine.tunnel import UNDER_WAY
from tests.helpers.engine_mesh import Mesh, transports


def connected(mesh: Mesh) -> bool:
    return len(mesh.components()) == 1


def test_two_nodes_find_each_other() -> None:
    mesh = Mesh()
    mesh.add(), mesh.add()
    mesh.run(5)
    assert connected(mesh)


def test_a_lone_node_waits_and_is_found_later() -> None:
    mesh = Mesh()
    mesh.add()
    mesh.run(300)
    mesh.add()
    mesh.run(10)
    assert connected(mesh)


@pytest.mark.parametrize("seed", range(10))
def test_thirty_nodes_become_one_mesh_within_ten_seconds(seed: int) -> None:
    mesh = Mesh(seed=seed)
    for _ in range(30):
        mesh.add()
    mesh.run(10)
    assert connected(mesh)
    for node in mesh.nodes.values():
        opened = [t for t in node.engine.tunnels if t.initiator]
        assert len(opened) <= mesh.parameters.client_count + 1
        assert len(node.engine.tunnels) <= MAX_TUNNELS


@pytest.mark.parametrize("seed", range(5))
def test_a_mesh_forms_although_a_third_of_the_messages_is_lost(seed: int) -> None:
    mesh = Mesh(seed=seed, loss=0.33)
    for _ in range(10):
        mesh.add()
    mesh.run(120)
    assert connected(mesh)


def test_there_is_never_more_than_one_tunnel_per_pair() -> None:
    mesh = Mesh(client_count=10)
    for _ in range(8):
        mesh.add()
    for _ in range(100):
        mesh.run(0.1)
        for node in mesh.nodes.values():
            peers = [t.peer for t in node.engine.tunnels]
            assert len(peers) == len(set(peers))


def test_a_node_without_udp_gets_tunnels_over_tcp_and_the_others_do_not() -> None:
    mesh = Mesh()
    blocked = mesh.add(udp=False)
    others = [mesh.add() for _ in range(5)]
    mesh.run(30)
    assert connected(mesh)
    assert transports(mesh, blocked) == {OPENVPN}
    assert any(WIREGUARD in transports(mesh, other) for other in others)


def test_nodes_behind_a_nat_hang_on_public_ones_by_at_most_two_tunnels_of_their_own() -> None:
    mesh = Mesh()
    for _ in range(4):
        mesh.add()
    hidden = [mesh.add(public=False) for _ in range(3)]
    mesh.run(30)
    assert connected(mesh)
    for node in hidden:
        assert all(mesh.nodes[t.peer].endpoints for t in node.engine.tunnels)


def test_a_node_with_two_tunnels_lets_go_of_the_relay() -> None:
    mesh = Mesh()
    for _ in range(6):
        mesh.add()
    mesh.run(30)
    for node in mesh.nodes.values():
        assert node.relay == (len(node.engine.tunnels.active()) < 2)


def test_the_relay_is_kept_until_answers_under_way_have_come() -> None:
    mesh = Mesh(client_count=6)
    for _ in range(12):
        mesh.add()
    let_go = 0
    for _ in range(2000):
        before = {node.prefix: node.relay for node in mesh.nodes.values()}
        mesh.run(0.005)
        for node in mesh.nodes.values():
            if before[node.prefix] and not node.relay:
                let_go += 1
                assert not [t for t in node.engine.tunnels if t.state in UNDER_WAY]
    assert let_go >= 12


def test_who_has_no_relay_makes_no_offer_that_only_the_relay_could_carry() -> None:
    mesh = Mesh(client_count=5)
    node = mesh.add()
    others = [mesh.add() for _ in range(2)]
    hidden = mesh.add(public=False)
    mesh.kill(hidden)
    hidden.seen_at = -math.inf  # nor does the registry tell of it
    mesh.run(10)
    assert (len(node.engine.tunnels.active()), node.relay) == (2, False)
    mesh.post(node, PeersLearned((PeerSeen(hidden.prefix, (), relayed=True),)))

    def offers_within(seconds: int) -> bool:
        for _ in range(10 * seconds):
            mesh.run(0.1)
            if node.engine.tunnels.with_peer(hidden.prefix) is not None:
                return True
        return False

    assert not offers_within(10)
    mesh.kill(others[0])
    assert offers_within(30)
    assert node.relay


def test_tunnels_of_a_node_that_died_in_silence_are_replaced() -> None:
    mesh = Mesh()
    nodes = [mesh.add() for _ in range(8)]
    mesh.run(30)
    mesh.kill(nodes[0])
    mesh.run(60)
    assert connected(mesh)
    assert not any(t.peer == nodes[0].prefix for n in nodes[1:] for t in n.engine.tunnels.active())


def test_a_node_that_leaves_tells_its_peers_at_once() -> None:
    mesh = Mesh()
    nodes = [mesh.add() for _ in range(6)]
    mesh.run(30)
    mesh.stop(nodes[0])
    mesh.run(1)
    assert not nodes[0].devices
    assert not any(nodes[0].prefix in n.devices.values() for n in nodes[1:])


def test_the_least_used_tunnel_makes_room_without_cutting_anybody_off() -> None:
    mesh = Mesh(client_count=2)
    for _ in range(10):
        mesh.add()
    mesh.run(20)
    before = {n.prefix: set(n.devices.values()) for n in mesh.nodes.values()}
    for _ in range(80):
        mesh.run(10)
        assert connected(mesh)
    after = {n.prefix: set(n.devices.values()) for n in mesh.nodes.values()}
    assert before != after


def test_a_newcomer_finds_a_mesh_that_is_hours_old() -> None:
    mesh = Mesh()
    for _ in range(6):
        mesh.add()
    mesh.run(3 * 3600)
    mesh.add()
    mesh.run(10)
    assert connected(mesh)


def test_a_newcomer_that_does_not_work_does_not_end_the_refreshing() -> None:
    mesh = Mesh(client_count=2)
    nodes = [mesh.add() for _ in range(8)]
    mesh.run(60)
    for dead in nodes[6:]:
        mesh.kill(dead)  # everybody still knows them, and tries them now and then
    mesh.run(60)
    before = {n.prefix: set(n.devices) for n in nodes[:6]}
    mesh.run(4 * mesh.parameters.tunnel_refresh_s + 60)
    assert all(before[n.prefix] != set(n.devices) for n in nodes[:6])


def test_the_same_seed_gives_the_same_mesh() -> None:
    def tunnels(seed: int) -> list[list[str]]:
        mesh = Mesh(seed=seed)
        for _ in range(12):
            mesh.add()
        mesh.run(60)
        return [sorted(n.devices) for n in mesh.nodes.values()]

    assert tunnels(3) == tunnels(3)
    assert tunnels(3) != tunnels(4)
