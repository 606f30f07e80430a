"""A node and its registry: what it learns, and how it goes on while the registry is away."""

from netns_lab.boxes.behaviour import KINDS
from netns_lab.model.mesh import Mesh
from netns_lab.model.node import Settings
from netns_lab.model.registrar import NOTICED_S, REFRESH_S


def test_a_public_node_learns_that_it_can_be_reached_and_the_registry_where() -> None:
    mesh = Mesh()
    node = mesh.add()
    mesh.run(5)
    assert {int(e.ip) for e in node.registrar.endpoints} == {node.host.ip}
    assert mesh.registry.sightings[0].endpoints == node.registrar.endpoints


def test_a_node_behind_a_nat_learns_that_it_cannot() -> None:
    mesh = Mesh()
    node = mesh.add(mesh.home(KINDS["full_cone"]))
    mesh.run(5)
    assert node.registrar.endpoints == ()
    assert mesh.registry.sightings[0].endpoints == ()


def test_what_the_operator_announces_is_not_questioned() -> None:
    mesh = Mesh()
    home = mesh.home(KINDS["full_cone"])
    assert home.gateway is not None
    node = mesh.add(home, settings=Settings(announced=home.gateway.outside))
    mesh.run(5)
    assert {int(e.ip) for e in node.registrar.endpoints} == {home.gateway.outside}


def test_a_new_node_waits_for_parameters_until_the_registry_is_there() -> None:
    mesh = Mesh()
    mesh.registry.away = True
    node = mesh.add()
    mesh.run(60)
    assert node.engine is None
    mesh.registry.start()
    mesh.run(120)
    assert node.engine is not None


def test_newer_parameters_are_followed_within_an_hour_and_a_quarter() -> None:
    mesh = Mesh()
    node, other = mesh.add(), mesh.add()
    mesh.run(10)
    mesh.revoke(other)
    mesh.run(1.25 * REFRESH_S + 10)
    assert node.parameters is not None
    assert node.parameters.revoked == (other.serial,)


def test_a_node_with_few_tunnels_keeps_the_relay_and_lets_go_of_it_with_two() -> None:
    mesh = Mesh()
    node = mesh.add()
    mesh.run(10)
    assert node.registrar.relay_connected
    assert mesh.registry.relayed == {0: node}
    for _ in range(4):
        mesh.add()
    mesh.run(60)
    assert not node.registrar.relay_connected
    assert node.index not in mesh.registry.relayed


def test_a_relay_that_the_registry_closed_is_tried_again() -> None:
    mesh = Mesh()
    node = mesh.add()
    mesh.run(10)
    mesh.registry.stop()
    assert not node.registrar.relay_connected
    mesh.run(30)
    mesh.registry.start()
    mesh.run(90)
    assert node.registrar.relay_connected


def test_a_relay_whose_path_is_cut_looks_alive_until_a_heartbeat_is_missed() -> None:
    mesh = Mesh()
    node = mesh.add()
    mesh.run(10)
    mesh.underlay.cut({mesh.registry.host.site}, {node.host.site})
    mesh.refresh()
    mesh.run(NOTICED_S[0] - 1)
    assert node.registrar.relay_connected
    mesh.run(NOTICED_S[1])
    assert not node.registrar.relay_connected
    assert not mesh.registry.relayed


def test_a_node_that_vanished_is_taken_for_present_a_little_longer() -> None:
    mesh = Mesh()
    node = mesh.add()
    mesh.run(10)
    node.kill()
    assert mesh.registry.relayed
    mesh.run(NOTICED_S[1] + 1)
    assert not mesh.registry.relayed
