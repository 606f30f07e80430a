"""STUN and WireGuard through the router: nothing works by decree."""

import random
from dataclasses import dataclass, field

import pytest

from netns_lab.boxes.behaviour import KINDS
from netns_lab.model import wire
from netns_lab.model.agenda import Agenda
from netns_lab.model.nat import Address, Nat
from netns_lab.model.udp_port import UdpPort
from netns_lab.model.underlay import Realm, Underlay, Weather

PUBLIC, PRIVATE = 0xC6120000, 0x0A000000


@dataclass
class Ports:
    """Nodes' ports on one underlay."""

    weather: Weather = field(default_factory=Weather)

    def __post_init__(self) -> None:
        self.agenda, self.ledger = Agenda(), wire.Ledger()
        rng = random.Random(1)
        self.underlay = Underlay(self.agenda, rng, lambda a, b: 0.02, self.weather)
        self.up: list[tuple[str, str]] = []
        self.count = 0

    def home(self, kind: str) -> Realm:
        self.count += 1
        nat = Nat(KINDS[kind], PUBLIC + self.count, random.Random(1))
        return self.underlay.realm("home", self.count, nat)

    def add(self, realm: Realm | None = None) -> UdpPort:
        self.count += 1
        base = PRIVATE if realm else PUBLIC
        host = self.underlay.host(
            f"n{self.count}", base + self.count, realm.site if realm else self.count, realm
        )

        def up(nonce: str) -> None:
            self.up.append((host.name, nonce))

        rng = random.Random(self.count)
        return UdpPort(self.underlay, self.agenda, host, 1194, rng=rng, ledger=self.ledger, up=up)

    def mapped(self, port: UdpPort, server: UdpPort) -> Address | None:
        """What STUN says."""
        answers: list[Address | None] = []
        port.ask(address(server), lambda mapped, _rtt: answers.append(mapped))
        self.agenda.run(2)
        assert len(answers) == 1
        return answers[0]


def address(port: UdpPort) -> Address:
    return port.host.ip, port.port


def tunnel(one: UdpPort, to_other: Address, other: UdpPort, to_one: Address) -> None:
    one.add("t", "key one", "key other", to_other)
    other.add("t", "key other", "key one", to_one)


def test_stun_shows_a_public_host_itself() -> None:
    ports = Ports()
    a, b = ports.add(), ports.add()
    assert ports.mapped(a, b) == address(a)


@pytest.mark.parametrize("kind", KINDS)
def test_stun_shows_what_the_nat_made_of_it(kind: str) -> None:
    ports = Ports()
    realm = ports.home(kind)
    inside, server = ports.add(realm), ports.add()
    mapped = ports.mapped(inside, server)
    assert mapped is not None
    assert realm.gateway is not None
    assert mapped[0] == realm.gateway.outside


def test_the_rtt_is_that_of_the_copy_that_was_answered() -> None:
    ports = Ports()
    a, b = ports.add(), ports.add()
    rtts: list[float] = []
    b.host.alive = False
    a.ask(address(b), lambda _mapped, rtt_s: rtts.append(rtt_s))
    ports.agenda.run(0.1)
    b.host.alive = True
    ports.agenda.run(2)
    assert rtts == [pytest.approx(0.04)]


def test_without_a_reflector_the_question_ends_unanswered_after_all_copies() -> None:
    ports = Ports()
    a, b = ports.add(), ports.add()
    b.reflects = False
    assert ports.mapped(a, b) is None
    assert ports.ledger.sent["n1"]["stun"] == 3 * wire.STUN_REQUEST


def test_a_daemon_that_dies_gets_no_answers() -> None:
    ports = Ports()
    a, b = ports.add(), ports.add()
    answers: list[Address | None] = []
    a.ask(address(b), lambda mapped, _rtt: answers.append(mapped))
    a.forget_questions()
    ports.agenda.run(5)
    assert not answers


def test_two_devices_shake_hands_and_are_up_at_both_ends() -> None:
    ports = Ports()
    a, b = ports.add(), ports.add()
    tunnel(a, address(b), b, address(a))
    ports.agenda.run(1)
    assert sorted(set(ports.up)) == [("n1", "t"), ("n2", "t")]
    assert a.reaches("t") == (b.host, address(a))


def test_one_end_alone_never_gets_up_and_goes_on_trying() -> None:
    ports = Ports()
    a, b = ports.add(), ports.add()
    a.add("t", "key one", "key other", address(b))
    ports.agenda.run(60)
    assert not ports.up
    tries = ports.ledger.sent["n1"]["wireguard"] // wire.WG_INITIATION
    assert 11 <= tries <= 13


def test_a_wrong_key_is_not_answered() -> None:
    ports = Ports()
    a, b = ports.add(), ports.add()
    a.add("t", "key one", "key other", address(b))
    b.add("t", "another key", "key one", address(a))
    ports.agenda.run(30)
    assert not ports.up


def test_a_lossy_path_only_delays_the_handshake() -> None:
    ports = Ports(Weather(loss=0.3))
    a, b = ports.add(), ports.add()
    tunnel(a, address(b), b, address(a))
    ports.agenda.run(120)
    assert len(set(ports.up)) == 2


def test_packets_from_elsewhere_go_to_the_claimant_of_their_source() -> None:
    ports = Ports()
    a, b = ports.add(), ports.add()
    first, second = (1, 1), (1, 2)
    a.add("old", "k", "p", first)
    a.add("other port", "k", "p", second)
    assert a.claimant(first) is a.devices["old"]
    assert a.claimant((1, 3)) is a.devices["old"]  # the oldest claim to the address
    a.add("new", "k", "p", first)
    assert a.claimant(first) is a.devices["new"]  # the newest to the exact source
    a.remove("new")
    assert a.claimant(first) is a.devices["old"]
    assert a.claimant(address(b)) is None


def test_a_node_behind_a_nat_reaches_a_public_one_and_is_reached_back() -> None:
    ports = Ports()
    inside, public = ports.add(ports.home("symmetric")), ports.add()
    mapped = ports.mapped(inside, public)
    assert mapped is not None
    tunnel(inside, address(public), public, mapped)
    ports.agenda.run(20)
    assert len(set(ports.up)) == 2
    assert inside.reaches("t") is not None  # whoever looks stands for the hellos of each second
    ports.agenda.run(10_000)
    assert public.reaches("t") == (inside.host, address(public))


def test_after_its_end_the_nat_forgets() -> None:
    ports = Ports()
    inside, public = ports.add(ports.home("port_restricted")), ports.add()
    mapped = ports.mapped(inside, public)
    assert mapped is not None
    tunnel(inside, address(public), public, mapped)
    ports.agenda.run(20)
    inside.reaches("t")
    inside.remove("t")
    inside.remove("t")
    ports.agenda.run(500)
    assert public.reaches("t") is None
