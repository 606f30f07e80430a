"""Tunnels are made and removed as the node's manager does it, with the same events."""

from collections.abc import Callable
from ipaddress import IPv4Address

import pytest

from netns_lab.model.mesh import Mesh
from netns_lab.model.node import Node
from netns_lab.model.tunnel_manager import CONNECT_S, CREATE_S
from re6st_core.address import Endpoint, Protocol
from re6st_core.peer_wire import OPENVPN, WIREGUARD
from re6stnet.engine.messages import (
    Broken,
    Created,
    Event,
    PeersLearned,
    Prepare,
    Prepared,
    Timer,
    TunnelRecord,
)

NONCE = "a" * 32


@pytest.fixture
def mesh() -> Mesh:
    """Two nodes that open no tunnels by themselves."""
    mesh = Mesh(client_count=0)
    mesh.add(), mesh.add()
    mesh.run(5)
    return mesh


def listen(node: Node) -> list[Event]:
    """What the node's engine would be given from now on."""
    events: list[Event] = []

    def post(event: Event) -> None:
        if not isinstance(event, Timer | PeersLearned):  # the registry answers when it answers
            events.append(event)

    node.post = post  # type: ignore[method-assign]  # the test stands in for the engine
    return events


def endpoint(node: Node, protocol: Protocol) -> Endpoint:
    return Endpoint(IPv4Address(node.host.ip), node.port, protocol)


def record(peer: Node, transport: str, *, initiator: bool, key: str = "") -> TunnelRecord:
    protocol = Protocol.UDP if transport == WIREGUARD else Protocol.TCP
    return TunnelRecord(NONCE, peer.prefix, initiator, transport, 1420, endpoint(peer, protocol), key)


def prepared_key(mesh: Mesh, node: Node, peer: Node, events: list[Event]) -> str:
    node.tunnels.prepare(Prepare(NONCE, peer.prefix, WIREGUARD, endpoint(peer, Protocol.UDP)))
    mesh.run(2)
    event = events[-1]
    assert isinstance(event, Prepared)
    assert event.source == endpoint(node, Protocol.UDP)
    return event.public_key


def test_wireguard_is_prepared_by_stun_and_works_when_both_ends_are_created(mesh: Mesh) -> None:
    one, other = mesh.nodes
    heard = listen(one), listen(other)
    keys = prepared_key(mesh, one, other, heard[0]), prepared_key(mesh, other, one, heard[1])
    one.tunnels.create(record(other, WIREGUARD, initiator=True, key=keys[1]))
    mesh.run(CREATE_S)
    assert Created(NONCE) in heard[0]
    assert not mesh.links
    other.tunnels.create(record(one, WIREGUARD, initiator=False, key=keys[0]))
    mesh.run(20)
    assert mesh.links[NONCE].works


def test_without_udp_the_answer_is_none(mesh: Mesh) -> None:
    one, other = mesh.nodes
    mesh.block_udp(other)
    events = listen(one)
    one.tunnels.prepare(Prepare(NONCE, other.prefix, WIREGUARD, endpoint(other, Protocol.UDP)))
    mesh.run(2)
    assert [e.source for e in events if isinstance(e, Prepared)] == [None]


def test_openvpn_connects_to_the_server_of_the_right_node(mesh: Mesh) -> None:
    one, other = mesh.nodes
    events = listen(one)
    other.tunnels.create(record(one, OPENVPN, initiator=False))
    one.tunnels.create(record(other, OPENVPN, initiator=True))
    mesh.run(5)
    assert events[0] == Created(NONCE)
    assert one.tunnels.client(NONCE) is not None
    assert mesh.links[NONCE].works


def _dead(mesh: Mesh) -> None:
    mesh.nodes[1].host.alive = False


def _without_server(mesh: Mesh) -> None:
    mesh.nodes[1].tcp_server = False


@pytest.mark.parametrize("happens", [_dead, _without_server])
def test_openvpn_that_finds_nobody_is_broken(mesh: Mesh, happens: Callable[[Mesh], None]) -> None:
    one, other = mesh.nodes
    happens(mesh)
    events = listen(one)
    one.tunnels.create(record(other, OPENVPN, initiator=True))
    mesh.run(CONNECT_S + 1)
    assert [type(e) for e in events] == [Broken]


def test_an_openvpn_client_that_hears_nothing_ends(mesh: Mesh) -> None:
    one, other = mesh.nodes
    events = listen(one)
    other.tunnels.create(record(one, OPENVPN, initiator=False))
    one.tunnels.create(record(other, OPENVPN, initiator=True))
    mesh.run(5)
    mesh.cut([one], [other])
    mesh.run(10)
    assert [type(e) for e in events if isinstance(e, Broken)] == [Broken]


def test_what_is_removed_is_gone_at_this_end_and_silent_at_the_other(mesh: Mesh) -> None:
    one, other = mesh.nodes
    other.tunnels.create(record(one, OPENVPN, initiator=False))
    one.tunnels.create(record(other, OPENVPN, initiator=True))
    mesh.run(5)
    one.tunnels.remove(NONCE)
    assert not one.tunnels.holds(NONCE)
    assert not one.babel.neighbours
    assert other.tunnels.records
    mesh.run(5)
    assert not other.babel.neighbours
    other.tunnels.remove(NONCE)
    assert not mesh.links


def test_a_tunnel_removed_while_it_is_made_does_not_appear(mesh: Mesh) -> None:
    one, other = mesh.nodes
    events = listen(one)
    one.tunnels.create(record(other, WIREGUARD, initiator=True, key="k"))
    one.tunnels.remove(NONCE)
    mesh.run(5)
    assert not one.udp.devices
    assert not events
