"""What carries a tunnel: both kinds work and fail by what the underlay does."""

from netns_lab.boxes.behaviour import KINDS
from netns_lab.model.mesh import Mesh
from netns_lab.model.node import Settings
from netns_lab.model.tunnels import LanCarrier, OpenvpnCarrier, WireguardCarrier
from netns_lab.model.underlay import Firewall


def two(*, udp: bool = True, loss: float = 0.0) -> Mesh:
    mesh = Mesh(seed=5)
    mesh.underlay.weather.loss = loss
    mesh.add()
    mesh.add(firewall=Firewall(udp=udp))
    mesh.run(60)
    assert len(mesh.links) == 1
    return mesh


def test_wireguard_carries_both_ways_until_one_is_cut() -> None:
    mesh = two()
    (link,) = mesh.links.values()
    carrier = link.carrier
    assert isinstance(carrier, WireguardCarrier)
    assert [carrier.carries(end) for end in (0, 1)] == [True, True]
    mesh.cut(mesh.nodes[:1], mesh.nodes[1:])
    assert [carrier.carries(end) for end in (0, 1)] == [False, False]
    mesh.heal()
    assert [carrier.carries(end) for end in (0, 1)] == [True, True]


def test_wireguard_follows_a_peer_behind_a_nat_that_restarts() -> None:
    mesh = Mesh(seed=5)
    mesh.add()
    home = mesh.home(KINDS["symmetric"])
    mesh.add(home)
    mesh.run(60)
    assert home.gateway is not None
    home.gateway.reboot()
    mesh.refresh()
    assert all(link.carrier.carries(end) for link in mesh.links.values() for end in (0, 1))


def test_only_wireguard_loses_packets() -> None:
    for udp, lost in ((True, 0.01), (False, 0.0)):
        mesh = two(udp=udp, loss=0.01)
        (link,) = mesh.links.values()
        assert link.carrier.loss() == lost
        assert link.carrier.openvpn is not udp
        assert link.carrier.one_way_s(0) == mesh.underlay.delay_s(*(n.host.site for n in mesh.nodes))


def test_a_tcp_connection_does_not_come_back_once_it_is_closed() -> None:
    mesh = two(udp=False)
    (link,) = mesh.links.values()
    assert isinstance(link.carrier, OpenvpnCarrier)
    assert link.carrier.carries(0)
    link.carrier.close()
    assert not link.carrier.carries(0)
    assert not link.carrier.carries(1)


def test_a_tcp_connection_ends_with_the_server() -> None:
    mesh = two(udp=False)
    (link,) = mesh.links.values()
    mesh.nodes[0].tcp_server = mesh.nodes[1].tcp_server = False
    assert not link.carrier.carries(0)


def test_a_lan_needs_nothing_but_two_machines() -> None:
    mesh = Mesh()
    home = mesh.home(KINDS["full_cone"])
    one, other = (mesh.add(home, settings=Settings(lan=True), start=False) for _ in range(2))
    (link,) = mesh.links.values()
    assert isinstance(link.carrier, LanCarrier)
    mesh.unplug(home)
    mesh.run(10)
    assert mesh.path(one, other) == [one, other]
    assert link.carrier.loss() == 0
    other.host.alive = False
    assert not link.carrier.carries(0)
