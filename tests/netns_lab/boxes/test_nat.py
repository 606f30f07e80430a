"""The NAT box: the inside gets out, the outside does not get in, each kind does what it says."""

import select
import socket
import time
from collections.abc import Iterator

import pytest

from netns_lab.boxes.behaviour import BOXES, behaviour_of
from netns_lab.boxes.nat_bench import Bench, Place
from netns_lab.boxes.nat_probe import HERE, OTHER_BOTH, Prober, lifetimes_s, measure
from netns_lab.lab import Lab
from netns_lab.namespace import Machine
from netns_lab.topology import Topology
from re6st_core.errors import RouterError

pytestmark = pytest.mark.root

NAT = "203.0.113.4"
OUTSIDE = ("203.0.113.1", 5000)


def test_an_early_packet_from_outside_does_not_take_the_mapping(small: Topology) -> None:
    with (
        Lab(small) as lab,
        lab.machines["a"].socket(socket.AF_INET, socket.SOCK_DGRAM) as outside,
        lab.machines["h1"].socket(socket.AF_INET, socket.SOCK_DGRAM) as inside,
    ):
        for each in (outside, inside):
            each.settimeout(5)
        outside.bind(OUTSIDE)
        inside.bind(("192.168.1.10", 4000))
        outside.sendto(b"early", (NAT, 4000))
        # Same pair of ports, so when this is answered the early packet has been there too.
        lab.machines["h1"].run(["ping", "-c", "2", "-i", "0.05", "-W", "2", OUTSIDE[0]])
        inside.sendto(b"request", OUTSIDE)
        data, mapped = outside.recvfrom(100)
        assert (data, mapped) == (b"request", (NAT, 4000))
        outside.sendto(b"answer", mapped)
        assert inside.recvfrom(100) == (b"answer", OUTSIDE)


def test_the_box_itself_answers_nobody_outside(small: Topology) -> None:
    with (
        Lab(small) as lab,
        lab.machines["a"].socket(socket.AF_INET, socket.SOCK_STREAM) as outside,
        lab.machines["home-box"].socket(socket.AF_INET, socket.SOCK_STREAM) as server,
    ):
        server.bind((NAT, 80))
        server.listen()
        outside.settimeout(0.3)
        with pytest.raises(TimeoutError):
            outside.connect((NAT, 80))


def test_two_inside_hosts_talk_without_translation(small: Topology) -> None:
    with (
        Lab(small) as lab,
        lab.machines["h1"].socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        lab.machines["h2"].socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        two.settimeout(5)
        one.bind(("192.168.1.10", 4000))
        two.bind(("192.168.1.11", 4000))
        one.sendto(b"hello", ("192.168.1.11", 4000))
        assert two.recvfrom(100) == (b"hello", ("192.168.1.10", 4000))


PLACES = {
    (kind, hairpin): Place(kind, hairpin=hairpin, hosts=2) for kind in BOXES for hairpin in (False, True)
}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with Bench(tuple(PLACES.values())) as bench:
        yield bench


@pytest.fixture
def prober(bench: Bench) -> Iterator[Prober]:
    with Prober(bench.server, bench.server_addresses) as prober:
        yield prober


@pytest.mark.parametrize(("kind", "hairpin"), PLACES)
def test_a_box_does_what_its_kind_says(bench: Bench, prober: Prober, kind: str, hairpin: bool) -> None:
    first, second = bench.hosts[list(PLACES).index((kind, hairpin))]
    measured = measure(prober, first, second)
    assert measured.behaviour == behaviour_of(kind, hairpin=hairpin)
    assert measured.early_peer_harmless
    # Linux reuses a port for another host towards a peer that has not seen it: that host is told a wrong one.
    assert measured.equal_ports_apart == (kind != "masquerade")


@pytest.mark.parametrize("kind", BOXES)
def test_icmp_errors_come_back_in(bench: Bench, kind: str) -> None:
    (host, _) = bench.hosts[list(PLACES).index((kind, False))]
    with host.machine.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect((str(bench.server_addresses[0]), 9))
        client.send(b"nobody listens there")
        assert select.select([client], [], [], 5)[0]
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)


@pytest.mark.parametrize("kind", BOXES)
def test_fragments_and_tcp_pass(bench: Bench, kind: str) -> None:
    number = list(PLACES).index((kind, False))
    host, server = bench.hosts[number][0], str(bench.server_addresses[0])
    with (
        bench.server.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
        host.machine.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
    ):
        for each in (far, near):
            each.settimeout(5)
        far.bind((server, 7000))
        near.sendto(b"q" * 4000, (server, 7000))
        question, source = far.recvfrom(5000)
        far.sendto(b"a" * 5000, source)
        assert (question, near.recv(6000)) == (b"q" * 4000, b"a" * 5000)
    with (
        bench.server.socket(socket.AF_INET, socket.SOCK_STREAM) as far,
        host.machine.socket(socket.AF_INET, socket.SOCK_STREAM) as near,
    ):
        far.bind((server, 0))
        far.listen()
        near.settimeout(5)
        near.connect(far.getsockname())
        accepted, source = far.accept()
        accepted.close()
        assert source[0] == str(bench.outside(number))


def test_mappings_live_for_five_minutes_and_those_of_linux_as_it_likes(bench: Bench) -> None:
    def lives_s(kind: str) -> list[str]:
        box = bench.boxes[list(PLACES).index((kind, False))][0]
        names = ("udp_timeout", "udp_timeout_stream")
        return box.run(["sysctl", "-n", *(f"net.netfilter.nf_conntrack_{name}" for name in names)]).split()

    assert {kind: lives_s(kind) for kind in BOXES} == {
        kind: ["30", "120"] if kind == "masquerade" else ["300", "300"] for kind in BOXES
    }
    box = bench.boxes[list(PLACES).index(("port_restricted", False))][0]
    assert box.run(["nft", "list", "sets", "table", "ip", "nat_box"]).count("timeout 5m\n") == 2


def test_a_mapping_without_packets_ends_in_time() -> None:
    with (
        Bench([Place(kind, hosts=1, udp_timeout_s=2) for kind in BOXES]) as bench,
        Prober(bench.server, bench.server_addresses) as prober,
    ):
        hosts = [hosts[0] for hosts in bench.hosts]
        for least_s, less_than_s in lifetimes_s(prober, hosts, step_s=0.75, at_most_s=3):
            assert least_s < 2 <= less_than_s


def test_flows_leave_from_a_new_outside_address() -> None:
    with (
        Bench([Place(kind) for kind in BOXES]) as bench,
        Prober(bench.server, bench.server_addresses) as prober,
    ):
        for number, kind in enumerate(BOXES):
            host, box = bench.hosts[number][0], bench.boxes[number][0]
            client = prober.open(host.machine, host.address)
            before = prober.ask(client)
            assert before.ip == bench.outside(number)
            new = f"203.0.113.{200 + number}"
            box.ip(["addr flush dev inet", f"addr add {new}/24 dev inet", "route add default dev inet"])
            after = prober.ask(client)
            assert str(after.ip) == new
            # What conntrack alone chose is chosen anew.
            assert after.port == before.port or kind in ("symmetric", "masquerade")


@pytest.mark.parametrize("kind", ["full_cone", "address_restricted", "port_restricted"])
def test_a_port_is_one_hosts_until_its_mapping_ends_and_then_anothers(kind: str) -> None:
    with (
        Bench([Place(kind, hosts=2, udp_timeout_s=1)]) as bench,
        Prober(bench.server, bench.server_addresses) as prober,
    ):
        one, two = bench.hosts[0]
        early = prober.open(one.machine, one.address)
        port = early.getsockname()[1]
        late = prober.open(two.machine, two.address, port)
        assert prober.ask(early).port == port
        mapped = prober.ask(late)
        while (
            mapped.port != port
        ):  # asking anew keeps the late one's own mapping alive: only a new one can move
            wait_until_nothing_is_mapped(bench.boxes[0][0])
            mapped = prober.ask(late)
        assert prober.arrives(HERE, mapped, late)
        moved = prober.ask(early)
        assert moved != mapped
        assert prober.ask(early, OTHER_BOTH) == moved
        assert prober.ask(late, OTHER_BOTH) == mapped


def wait_until_nothing_is_mapped(box: Machine) -> None:
    while "elements" in box.run(["nft", "list", "map", "ip", "nat_box", "mapping"]):
        pass


def test_packets_from_inside_keep_a_mapping_alive_and_the_same() -> None:
    with (
        Bench([Place("carrier_grade", udp_timeout_s=1)]) as bench,
        Prober(bench.server, bench.server_addresses) as prober,
    ):
        host = bench.hosts[0][0]
        client = prober.open(host.machine, host.address)
        start_s, mapped = time.monotonic(), prober.ask(client)
        while time.monotonic() < start_s + 2.5:
            prober.serve(0.3, ())
            client.sendto(b"keep alive", (str(bench.server_addresses[0]), 9))
        assert prober.ask(client, OTHER_BOTH) == mapped


def test_a_drawn_port_that_is_anothers_is_not_shared() -> None:
    """Every port is somebody's, so whatever conntrack draws, nothing of a new host may leave."""
    with (
        Bench([Place("port_restricted", hosts=2)]) as bench,
        Prober(bench.server, bench.server_addresses) as prober,
    ):
        one, two = bench.hosts[0]
        client = prober.open(one.machine, one.address)
        mapped = prober.ask(client)
        others = [port for port in range(1, 65536) if port != mapped.port]
        for start in range(0, len(others), 8192):
            elements = ",\n".join(f"{port} : 192.168.0.99 . {port}" for port in others[start : start + 8192])
            rule = f"add element ip nat_box owner {{ {elements} }}"
            bench.boxes[0][0].nft(rule)
        with pytest.raises(RouterError, match="does not answer"):
            prober.ask(prober.open(two.machine, two.address))
        assert prober.ask(client, OTHER_BOTH) == mapped
