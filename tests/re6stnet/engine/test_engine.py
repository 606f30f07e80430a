"""Engines talk to each other in the lab's model: the mesh forms, keeps its limits, and mends itself."""

from dataclasses import replace

import pytest

from netns_lab.boxes.behaviour import KINDS
from netns_lab.model.mesh import Mesh
from netns_lab.model.node import Node, Settings
from netns_lab.model.underlay import Firewall, Weather
from re6st_core.peer_wire import OPENVPN, WIREGUARD, Answer
from re6st_core.prefix import Prefix
from re6stnet.engine.engine import MAX_ATTEMPTS, SWAP_AFTER_S, Engine
from re6stnet.engine.messages import (
    AddressesChanged,
    AskBootstrap,
    AskEndpoints,
    BootstrapFailed,
    PeerSeen,
    PeersLearned,
    Received,
)
from re6stnet.engine.negotiation import MAX_TUNNELS
from re6stnet.engine.rounds import ROUND_S
from re6stnet.engine.selection import View
from re6stnet.engine.tunnel import UNDER_WAY, Tunnel


def mesh_of(
    count: int, *, seed: int = 1, seconds: float = 60, loss: float = 0.0, client_count: int = 3
) -> Mesh:
    """Public nodes that start together, some time later."""
    mesh = Mesh(seed=seed, client_count=client_count, weather=Weather(loss=loss))
    for _ in range(count):
        mesh.add()
    mesh.run(seconds)
    return mesh


def connected(mesh: Mesh) -> bool:
    return not mesh.unreached(mesh.nodes)


def engine(node: Node) -> Engine:
    assert node.engine is not None
    return node.engine


def tunnels(node: Node) -> list[Tunnel]:
    return list(engine(node).tunnels)


def transports(node: Node) -> set[str]:
    return {t.transport for t in engine(node).tunnels.active()}


def peers(node: Node) -> set[str]:
    return {t.peer.cn for t in tunnels(node)}


def test_two_nodes_find_each_other() -> None:
    assert connected(mesh_of(2, seconds=10))


def test_a_lone_node_waits_and_is_found_later() -> None:
    mesh = mesh_of(1, seconds=300)
    mesh.add()
    mesh.run(10)
    assert connected(mesh)


@pytest.mark.parametrize("seed", range(5))
def test_thirty_nodes_become_one_mesh_within_fifteen_seconds(seed: int) -> None:
    mesh = mesh_of(30, seed=seed, seconds=15)
    assert connected(mesh)
    for node in mesh.nodes:
        assert sum(t.initiator for t in tunnels(node)) <= mesh.parameters.client_count + 1
        assert len(tunnels(node)) <= MAX_TUNNELS


@pytest.mark.parametrize("seed", range(5))
def test_a_mesh_forms_although_a_sixth_of_the_packets_is_lost(seed: int) -> None:
    mesh = mesh_of(10, seed=seed, seconds=0, loss=0.16)
    for _ in range(120):
        mesh.run(1)
        if connected(mesh):
            return
    pytest.fail("never")


def test_there_is_never_more_than_one_tunnel_per_pair() -> None:
    mesh = mesh_of(8, client_count=10, seconds=0)
    for _ in range(100):
        mesh.run(0.1)
        for node in mesh.nodes:
            if node.engine is not None:
                assert len(peers(node)) == len(tunnels(node))


def test_a_node_without_udp_gets_tunnels_over_tcp_and_the_others_do_not() -> None:
    mesh = mesh_of(5, seconds=0)
    blocked = mesh.add(firewall=Firewall(udp=False))
    mesh.run(60)
    assert connected(mesh)
    assert transports(blocked) == {OPENVPN}
    assert any(WIREGUARD in transports(other) for other in mesh.nodes if other is not blocked)


def test_nodes_behind_a_nat_hang_on_public_ones_by_at_most_two_tunnels_of_their_own() -> None:
    mesh = mesh_of(4, seconds=0)
    hidden = [mesh.add(mesh.home(KINDS["port_restricted"])) for _ in range(3)]
    mesh.run(60)
    assert connected(mesh)
    for node in hidden:
        reached = not all(t.initiator for t in tunnels(node))  # then it can be reached, and opens more
        assert reached or len(tunnels(node)) <= 2
        assert all(mesh.by_prefix[t.peer].registrar.endpoints for t in tunnels(node))


def test_a_node_with_two_tunnels_lets_go_of_the_relay() -> None:
    mesh = mesh_of(6)
    for node in mesh.nodes:
        assert node.registrar.relay_wanted == (len(engine(node).tunnels.active()) < 2)


def test_the_relay_is_kept_until_answers_under_way_have_come() -> None:
    mesh = mesh_of(12, client_count=6, seconds=0)
    let_go = 0
    for _ in range(2500):
        before = {node.name: node.registrar.relay_wanted for node in mesh.nodes}
        mesh.run(0.005)
        for node in mesh.nodes:
            if before[node.name] and not node.registrar.relay_wanted:
                let_go += 1
                assert not [t for t in tunnels(node) if t.state in UNDER_WAY]
    assert let_go >= 12


def test_a_node_makes_few_offers_at_a_time_and_has_its_tunnels_soon_all_the_same() -> None:
    mesh = mesh_of(20, client_count=8, seconds=0)
    for _ in range(600):
        mesh.run(0.05)
        for node in mesh.nodes:
            if node.engine is not None:
                own = [t for t in tunnels(node) if t.initiator]
                assert sum(t.state in UNDER_WAY for t in own) <= MAX_ATTEMPTS
    for node in mesh.nodes:
        assert sum(t.initiator for t in tunnels(node)) >= 8 or len(tunnels(node)) >= 16


def test_who_has_no_relay_makes_no_offer_that_only_the_relay_could_carry() -> None:
    mesh = mesh_of(3, client_count=5, seconds=0)
    node, other, _ = mesh.nodes
    hidden = mesh.add(mesh.home(KINDS["port_restricted"]), start=False)
    mesh.run(30)
    assert (len(engine(node).tunnels.active()), node.registrar.relay_wanted) == (2, False)
    node.post(PeersLearned((PeerSeen(hidden.prefix, (), relayed=True),)))

    def offers_within(seconds: int) -> bool:
        for _ in range(10 * seconds):
            mesh.run(0.1)
            if engine(node).tunnels.with_peer(hidden.prefix) is not None:
                return True
        return False

    assert not offers_within(10)
    other.kill()
    assert offers_within(30)
    assert node.registrar.relay_wanted


def test_tunnels_of_a_node_that_died_in_silence_are_replaced() -> None:
    mesh = mesh_of(8)
    dead, *others = mesh.nodes
    dead.kill()
    mesh.run(60)
    assert connected(mesh)
    assert not any(t.peer == dead.prefix for node in others for t in engine(node).tunnels.active())


def test_a_node_that_leaves_tells_its_peers() -> None:
    mesh = mesh_of(6)
    leaving, *others = mesh.nodes
    held = {t.nonce for t in tunnels(leaving)}
    leaving.stop()
    mesh.run(2.4)  # sooner than babeld gives a silent neighbour up
    assert not any(t.nonce in held for node in others for t in tunnels(node))


def test_a_newcomer_finds_a_mesh_that_is_hours_old() -> None:
    mesh = mesh_of(6, seconds=3 * 3600)
    mesh.add()
    mesh.run(15)
    assert connected(mesh)


def test_a_content_engine_does_not_look_at_its_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = mesh_of(6)
    looked: list[float] = []
    node = mesh.nodes[0]
    make_view = engine(node)._view

    def view(now: float) -> View[Prefix]:
        looked.append(now)
        return make_view(now)

    monkeypatch.setattr(engine(node), "_view", view)
    mesh.run(mesh.parameters.tunnel_refresh_s)
    # At each of three steps of a round, at the refresh, and while newcomers are tried.
    assert len(looked) <= 3 * (mesh.parameters.tunnel_refresh_s / ROUND_S + 2) + 8


def test_a_host_that_has_moved_asks_at_once_where_it_is_seen_and_again_if_in_vain() -> None:
    mesh = mesh_of(4)
    one = engine(mesh.nodes[0])
    assert AskBootstrap() in one.handle(AddressesChanged(), now=mesh.now)
    one.handle(BootstrapFailed("no route"), now=mesh.now)
    timer = one.next_timer()
    assert timer is not None
    assert timer <= mesh.now + 1.25


def test_a_tunnel_is_replaced_only_once_its_successor_has_worked_for_a_while() -> None:
    mesh = mesh_of(12, client_count=3, seconds=30)
    ended: list[float] = []
    swaps: dict[str, tuple[str, str, float]] = {}
    for _ in range(1200):
        mesh.run(0.1)
        for node in mesh.nodes:
            one = engine(node)
            if (swap := one._swap) is not None:
                swaps[node.name] = swap
            elif (swap := swaps.pop(node.name, None)) is not None and one.tunnels.get(swap[1]) is None:
                new = one.tunnels.get(swap[0])
                if new is not None and new in one.tunnels.active():
                    ended.append(mesh.now - new.since)
    assert all(worked_s >= SWAP_AFTER_S for worked_s in ended)
    assert connected(mesh)


def test_a_neighbour_that_the_operator_wants_is_kept_whatever_happens() -> None:
    mesh = mesh_of(10, client_count=2)
    wanted = mesh.nodes[3]
    node = mesh.add(settings=Settings(neighbours=(wanted.prefix,)))
    mesh.run(60)
    for _ in range(10):
        assert wanted.prefix.cn in peers(node)
        assert sum(t.initiator for t in tunnels(node)) <= 2 + 1
        mesh.run(30)
    wanted.kill()
    mesh.run(120)
    wanted.revive()
    mesh.run(400)
    assert wanted.prefix.cn in peers(node)


def test_tunnels_do_not_cross_a_closed_border_and_end_when_it_is_closed() -> None:
    mesh = mesh_of(0, seconds=0)
    for number in range(8):
        mesh.add(settings=Settings(country="FR" if number < 4 else "DE"))
    mesh.run(60)

    def crossing() -> int:
        places = {n.prefix: n.settings.country for n in mesh.nodes}
        return sum(places[t.peer] != places[n.prefix] for n in mesh.nodes for t in tunnels(n))

    assert crossing()
    closed = replace(mesh.parameters, version=mesh.parameters.version + 1, same_country=("FR",))
    for node in mesh.nodes:
        node.learn_parameters(closed)
    mesh.run(5)
    assert not crossing()
    mesh.run(120)
    assert not crossing()
    assert all(tunnels(node) for node in mesh.nodes)


def test_who_is_refused_asks_those_that_were_named_first() -> None:
    mesh = mesh_of(12, client_count=2)
    node = mesh.nodes[0]
    named = [n.prefix for n in mesh.nodes if engine(node).tunnels.with_peer(n.prefix) is None][1:4]
    refusal = Answer(
        sender=mesh.nodes[5].prefix, recipient=node.prefix, nonce="a" * 32, expires=0, refusal="full",
        alternatives=tuple(named),
    )  # fmt: skip
    engine(node).handle(Received(refusal, 1), now=mesh.now)
    for peer in engine(node).peers:
        peer.endpoints_known, peer.retry_at = False, 0.0
    engine(node)._asking.clear()
    engine(node)._refresh_at = 0.0
    asked = engine(node)._ask_endpoints(mesh.now)
    assert asked[: len(named)] == [AskEndpoints(prefix) for prefix in named]
