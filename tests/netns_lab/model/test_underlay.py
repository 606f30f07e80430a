"""Packets on the model's Internet: none from nowhere, order holds, NATs and cuts decide what passes."""

import itertools
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns_lab.boxes.behaviour import BOXES, KINDS
from netns_lab.boxes.nat_pairs import expected_direct
from netns_lab.model.agenda import Agenda
from netns_lab.model.nat import Address, Nat
from netns_lab.model.underlay import Firewall, Host, Realm, Underlay, Weather

PUBLIC, PRIVATE = 0xC6120000, 0x0A000000
shares = st.sampled_from([0.0, 0.1, 0.5, 1.0])
weathers = st.builds(
    Weather, loss=shares, duplication=shares, reordering=shares, jitter_s=st.sampled_from([0.0, 0.005, 0.05])
)


class Net:
    """An underlay with few lines of set-up."""

    def __init__(self, weather: Weather | None = None, seed: int = 1) -> None:
        self.agenda = Agenda()
        rng = random.Random(seed)
        self.underlay = Underlay(self.agenda, rng, lambda a, b: 0.0 if a == b else 0.02, weather or Weather())
        self._count = itertools.count(1)
        self.got: dict[str, list[tuple[Address, Any]]] = {}

    def public(self) -> Host:
        number = next(self._count)
        return self._listen(self.underlay.host(f"h{number}", PUBLIC + number, number))

    def home(self, kind: str, outer: Realm | None = None) -> Realm:
        number = next(self._count)
        nat = Nat(KINDS[kind], PUBLIC + number, random.Random(number))
        return self.underlay.realm(f"home{number}", number, nat, outer)

    def inside(self, realm: Realm) -> Host:
        number = next(self._count)
        return self._listen(self.underlay.host(f"h{number}", PRIVATE + number, realm.site, realm))

    def _listen(self, host: Host) -> Host:
        got = self.got[host.name] = []
        host.udp[1194] = lambda source, payload: got.append((source, payload))
        return host

    def send(self, host: Host, to: Address, payload: Any = "hello") -> None:
        self.underlay.send(host, 1194, to, payload)

    def source_seen_by(self, host: Host, other: Host) -> Address:
        """Where packets of ``other`` come from, as ``host`` (public) sees them."""
        self.send(other, (host.ip, 1194), "who am I")
        self.agenda.run(1)
        return self.got[host.name][-1][0]


@given(weathers, st.integers(0, 5), st.lists(st.booleans(), max_size=40))
def test_packets_are_conserved(weather: Weather, seed: int, there: list[bool]) -> None:
    net = Net(weather, seed)
    a, b = net.public(), net.public()
    for number, known in enumerate(there):
        net.send(a, (b.ip if known else 1, 1194), number)
    net.agenda.run(10)
    fate = net.underlay.fate
    arrived = [payload for _, payload in net.got[b.name]]
    assert fate["sent"] == len(there)
    assert fate["sent"] + fate["doubled"] == fate["delivered"] + fate["lost"] + fate["nobody"]
    assert fate["delivered"] == len(arrived)
    assert {p for p in arrived if not there[p]} == set()
    if not weather.loss:
        assert set(arrived) == {number for number, known in enumerate(there) if known}
    if not weather.duplication or weather.loss == 1.0:
        assert len(arrived) == len(set(arrived))


@given(weathers, st.integers(0, 5))
def test_order_holds_unless_reordering_is_asked_for(weather: Weather, seed: int) -> None:
    net = Net(Weather(weather.loss, weather.duplication, 0.0, weather.jitter_s), seed)
    a, b = net.public(), net.public()
    for number in range(30):
        net.send(a, (b.ip, 1194), number)
        net.agenda.run(0.001)
    net.agenda.run(10)
    arrived = [payload for _, payload in net.got[b.name]]
    assert arrived == sorted(arrived)


def test_reordering_happens_when_asked_for() -> None:
    net = Net(Weather(reordering=0.5, jitter_s=0.005))
    a, b = net.public(), net.public()
    for number in range(50):
        net.send(a, (b.ip, 1194), number)
    net.agenda.run(1)
    arrived = [payload for _, payload in net.got[b.name]]
    assert sorted(arrived) == list(range(50))
    assert arrived != sorted(arrived)


def test_a_packet_takes_as_long_as_the_path() -> None:
    net = Net()
    a, b = net.public(), net.public()
    net.send(a, (b.ip, 1194))
    net.agenda.run(0.0199)
    assert not net.got[b.name]
    net.agenda.run(0.0002)
    assert net.got[b.name] == [((a.ip, 1194), "hello")]


def test_a_host_behind_a_nat_gets_answers_and_nothing_else() -> None:
    net = Net()
    server, stranger, inside = net.public(), net.public(), net.inside(net.home("port_restricted"))
    source = net.source_seen_by(server, inside)
    assert source != (inside.ip, 1194)
    net.send(server, source, "answer")
    net.send(stranger, source, "unasked")
    net.agenda.run(1)
    assert net.got[inside.name] == [((server.ip, 1194), "answer")]


@pytest.mark.parametrize("hairpin", [True, False])
def test_two_hosts_behind_one_nat_meet_outside_if_it_does_hairpin(hairpin: bool) -> None:
    net = Net()
    server = net.public()
    behaviour = replace(KINDS["full_cone"], hairpin=hairpin)
    realm = net.underlay.realm("home", 99, Nat(behaviour, PUBLIC + 99, random.Random(1)))
    one, other = net.inside(realm), net.inside(realm)
    seen = net.source_seen_by(server, other)
    net.send(one, seen, "by the outside")
    net.send(one, (other.ip, 1194), "by the LAN")
    net.agenda.run(1)
    said = {payload for _, payload in net.got[other.name]}
    assert said == ({"by the outside", "by the LAN"} if hairpin else {"by the LAN"})


PLACES = (None, *BOXES)


def place(net: Net, kind: str | None) -> Host:
    if kind is None:
        return net.public()
    realm: Realm | None = None
    for box in reversed(BOXES[kind]):
        realm = net.home(box, realm)
    assert realm is not None
    return net.inside(realm)


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations_with_replacement(PLACES, 2)))
@pytest.mark.parametrize("first", [0, 1])
def test_a_pair_punches_through_exactly_when_the_table_says_so(
    one: str | None, other: str | None, first: int
) -> None:
    """Both learn by STUN where they are, then send to each other, and back to where packets come from."""
    net = Net()
    server, hosts = net.public(), (place(net, one), place(net, other))
    seen = [net.source_seen_by(server, host) for host in hosts]
    for _ in range(3):
        for side in (first, 1 - first):
            heard = net.got[hosts[side].name]
            net.send(hosts[side], heard[-1][0] if heard else seen[1 - side])
            net.agenda.run(0.05 if side == first else 1)
    assert all(net.got[host.name] for host in hosts) == expected_direct(one, other)


def test_both_boxes_of_a_double_nat_translate() -> None:
    net = Net()
    carrier = net.home("port_restricted")
    server, inside = net.public(), net.inside(net.home("full_cone", carrier))
    source = net.source_seen_by(server, inside)
    assert carrier.gateway is not None
    assert source[0] == carrier.gateway.outside
    net.send(server, source, "answer")
    net.agenda.run(1)
    assert net.got[inside.name] == [((server.ip, 1194), "answer")]


def test_a_cut_holds_until_it_is_healed_also_for_what_is_tried_by_name() -> None:
    net = Net()
    a, b, c = net.public(), net.public(), net.public()
    net.underlay.cut({a.site}, {b.site})
    assert net.underlay.way(a, "tcp", 5000, (b.ip, 1194)) is None
    assert net.underlay.way(c, "tcp", 5000, (b.ip, 1194)) is not None
    net.send(b, (a.ip, 1194))
    net.underlay.heal()
    net.send(b, (a.ip, 1194), "again")
    net.agenda.run(1)
    assert [payload for _, payload in net.got[a.name]] == ["again"]


def test_a_dead_host_neither_sends_nor_gets() -> None:
    net = Net()
    a, b = net.public(), net.public()
    net.send(a, (b.ip, 1194))
    b.alive = False  # while the packet travels
    net.agenda.run(1)
    net.send(b, (a.ip, 1194))
    net.agenda.run(1)
    assert not net.got[a.name]
    assert not net.got[b.name]


def test_a_firewall_without_udp_lets_tcp_pass() -> None:
    net = Net()
    a, b = net.public(), net.public()
    b.firewall = Firewall(udp=False)
    net.send(a, (b.ip, 1194))
    net.send(b, (a.ip, 1194))
    net.agenda.run(1)
    assert not net.got[a.name] + net.got[b.name]
    assert net.underlay.way(a, "tcp", 5000, (b.ip, 1194)) is not None


def test_a_firewall_with_one_open_port_lets_strangers_in_there_and_answers_everywhere() -> None:
    net = Net()
    a, b = net.public(), net.public()
    b.firewall = Firewall(open_ports=frozenset({443}))
    net.send(a, (b.ip, 1194), "unasked")
    net.agenda.run(1)
    net.send(b, (a.ip, 1194), "question")
    net.send(a, (b.ip, 1194), "answer")
    net.agenda.run(1)
    assert [payload for _, payload in net.got[b.name]] == ["answer"]
    assert net.underlay.way(a, "tcp", 5000, (b.ip, 443)) is not None
    assert net.underlay.way(a, "tcp", 5000, (b.ip, 80)) is None


def test_a_firewall_may_let_out_tcp_443_only() -> None:
    net = Net()
    a, b = net.public(), net.public()
    a.firewall = Firewall(udp=False, tcp_out=frozenset({443}))
    assert net.underlay.way(a, "tcp", 5000, (b.ip, 443)) is not None
    assert net.underlay.way(a, "tcp", 5000, (b.ip, 1194)) is None


def test_a_realm_without_uplink_keeps_its_lan() -> None:
    net = Net()
    realm = net.home("full_cone")
    server, one, other = net.public(), net.inside(realm), net.inside(realm)
    seen = net.source_seen_by(server, one)
    realm.uplink = False
    net.send(one, (server.ip, 1194), "out")
    net.send(server, seen, "in")
    net.send(other, (one.ip, 1194), "here")
    net.agenda.run(1)
    assert [payload for _, payload in net.got[one.name]] == ["here"]
    assert len(net.got[server.name]) == 1


def test_a_new_outside_address_makes_old_mappings_void() -> None:
    net = Net()
    realm = net.home("full_cone")
    server, inside = net.public(), net.inside(realm)
    before = net.source_seen_by(server, inside)
    net.underlay.readdress(realm, PUBLIC + 5000)
    net.send(server, before, "lost")
    after = net.source_seen_by(server, inside)
    assert after[0] == PUBLIC + 5000
    assert not net.got[inside.name]


def test_a_way_that_is_kept_does_not_time_out_until_it_is_released() -> None:
    net = Net()
    server, inside = net.public(), net.inside(net.home("symmetric", net.home("symmetric")))
    arrived = net.underlay.way(inside, "udp", 1194, (server.ip, 1194), keep=True)
    assert arrived is not None
    net.agenda.run(10_000)
    net.send(server, arrived.source, "still there")
    net.agenda.run(1)
    net.underlay.release(inside, "udp", 1194, (server.ip, 1194))
    net.agenda.run(10_000)
    net.send(server, arrived.source, "gone")
    net.agenda.run(1)
    assert [payload for _, payload in net.got[inside.name]] == ["still there"]
