"""The model's registry: whom it names, what it remembers, whom it serves."""

from dataclasses import replace

from netns_lab.model.mesh import Mesh
from netns_lab.model.node import Node
from netns_lab.model.registry import RECENT_S, SAMPLE
from re6st_core.registry_wire import BootstrapResponse


def mesh_of(count: int) -> Mesh:
    mesh = Mesh(seed=2)
    for _ in range(count):
        mesh.add(start=False)
    return mesh


def ask(mesh: Mesh, node: Node) -> BootstrapResponse:
    answer = mesh.registry.bootstrap(node, node.registrar.endpoints, (node.host.ip, 50000))
    assert answer is not None
    assert isinstance(answer[1], BootstrapResponse)
    return answer[1]


def test_it_names_others_and_tells_the_caller_where_it_is() -> None:
    mesh = mesh_of(3)
    assert not ask(mesh, mesh.nodes[0]).peers
    response = ask(mesh, mesh.nodes[1])
    assert [peer.prefix for peer in response.peers] == [mesh.nodes[0].prefix]
    assert int(response.observed.ip) == mesh.nodes[1].host.ip


def test_a_sample_is_bounded_and_prefers_who_is_on_the_relay() -> None:
    mesh = mesh_of(30)
    for node in mesh.nodes[1:]:
        ask(mesh, node)
    for node in mesh.nodes[1:5]:
        mesh.registry.connect(node)
    peers = ask(mesh, mesh.nodes[0]).peers
    assert len(peers) == SAMPLE
    assert len({peer.prefix for peer in peers}) == SAMPLE
    assert sum(peer.relayed for peer in peers) == 4
    assert mesh.nodes[0].prefix not in {peer.prefix for peer in peers}


def test_who_called_long_ago_is_named_when_there_is_nobody_better() -> None:
    mesh = mesh_of(12)
    ask(mesh, mesh.nodes[1])
    mesh.run(RECENT_S + 1)
    assert [p.prefix for p in ask(mesh, mesh.nodes[0]).peers] == [mesh.nodes[1].prefix]
    for node in mesh.nodes[2:]:
        ask(mesh, node)
    assert mesh.nodes[1].prefix not in {peer.prefix for peer in ask(mesh, mesh.nodes[0]).peers}


def test_a_revoked_node_is_neither_served_nor_named() -> None:
    mesh = mesh_of(3)
    for node in mesh.nodes:
        ask(mesh, node)
    mesh.revoke(mesh.nodes[1])
    assert mesh.registry.bootstrap(mesh.nodes[1], (), (1, 1)) is None
    assert mesh.registry.signed_parameters(mesh.nodes[1]) is None
    assert [p.prefix for p in ask(mesh, mesh.nodes[0]).peers] == [mesh.nodes[2].prefix]


def test_parameters_grow_with_the_revoked() -> None:
    mesh = mesh_of(2)
    before = mesh.registry.signed_parameters(mesh.nodes[0])
    mesh.registry.parameters = replace(mesh.parameters, version=2, revoked=(4711,))
    after = mesh.registry.signed_parameters(mesh.nodes[0])
    assert before is not None
    assert after is not None
    assert after[0] > before[0]


def test_frames_go_to_who_is_connected_and_others_are_said_to_be_absent() -> None:
    mesh = mesh_of(3)
    one, other, absent = mesh.nodes
    for node in (one, other):
        mesh.registry.connect(node)
    arrived: list[float] = []
    assert mesh.registry.forward(one, other, lambda: arrived.append(mesh.now))
    assert not mesh.registry.forward(one, absent, lambda: arrived.append(mesh.now))
    mesh.run(1)
    assert len(arrived) == 1
    assert arrived[0] > 0


def test_a_registry_that_stops_forgets_connections_and_remembers_callers() -> None:
    mesh = mesh_of(2)
    ask(mesh, mesh.nodes[0])
    mesh.registry.connect(mesh.nodes[0])
    mesh.registry.stop()
    assert not mesh.registry.relayed
    assert not mesh.registry.accepts(mesh.registry.host)
    mesh.registry.start()
    assert [p.prefix for p in ask(mesh, mesh.nodes[1]).peers] == [mesh.nodes[0].prefix]
