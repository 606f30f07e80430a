"""The kernel's Internet carries, cuts and silences.

Where the kernel has no netem a plain queue stands in for each path: all but delay, jitter, loss and the rate
of paths is then still the real thing.
"""

import re
import socket
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address

import pytest

from netns_lab.internet import netem
from netns_lab.internet.link import Line, Link
from netns_lab.internet.neighbours import introduce
from netns_lab.internet.netem import Netem
from netns_lab.internet.switch import Port
from netns_lab.internet.switch_model import port_mac
from netns_lab.lab import Lab
from netns_lab.namespace import Machine
from netns_lab.topology import Topology
from re6st_core.errors import ConfigError, RouterError
from tests.helpers.lab_traffic import listener

pytestmark = pytest.mark.root

run_batch = netem._batch


def with_plain_queues(tool: str, machine: Machine, lines: Iterable[str]) -> None:
    run_batch(tool, machine, (re.sub(r"netem limit (\d+) .*", r"pfifo limit \1", line) for line in lines))


@pytest.fixture
def lab(small: Topology) -> Iterator[Lab]:
    with Lab(small) as lab:
        yield lab


@pytest.fixture
def internet(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Netem]:
    """Between a and b of a lab, on interfaces beside those of the lab's own Internet."""
    if not netem.available(lab.machines["internet"]):
        monkeypatch.setattr(netem, "_batch", with_plain_queues)
    machines = [lab.machines[name] for name in ("a", "b")]
    links = [[Link()] * 3] * 3
    ports = [*(Port(machine, "eth1") for machine in machines), None]
    internet = Netem.start(ports, links, lines=[Line(50, 50)], home=lab.machines["internet"])
    for number, machine in enumerate(machines):
        machine.ip(
            [
                f"link set eth1 address {port_mac(number)}",
                "link set eth1 up",
                f"addr add 198.51.100.{number + 1}/24 dev eth1",
                f"addr add 2001:db8:2::{number + 1}/64 dev eth1 nodad",
                *introduce("eth1", number, [[IPv4Address(f"198.51.100.{n}")] for n in (1, 2)]),
            ]
        )
    yield internet
    internet.stop()


def answers(lab: Lab, *words: str) -> bool:
    """Whether b answers to a."""
    try:
        lab.machines["a"].run(["ping", "-c", "1", "-W", "1", *(words or ["198.51.100.2"])])
    except RouterError:
        return False
    return True


def test_frames_are_carried_and_counted_and_all_is_removed(lab: Lab, internet: Netem) -> None:
    assert answers(lab)
    assert answers(lab, "2001:db8:2::2")
    internet.check()
    assert internet.alive
    a, b, nobody = internet.stats().ports
    assert min(a.received, a.delivered, b.received, b.delivered) >= 2
    assert nobody.received == 0
    internet.stop()
    assert "eth1" not in lab.machines["a"].run(["ip", "-o", "link"])
    internet.stop()  # harmless


def test_cut_and_silence_are_undone_without_a_trace(lab: Lab, internet: Netem) -> None:
    internet.cut(0, 1)
    assert not answers(lab)
    internet.silence(1)
    internet.heal(0, 1)
    assert not answers(lab)
    assert "LOWER_UP" in lab.machines["b"].run(["ip", "link", "show", "eth1"])
    internet.revive(1)
    assert answers(lab)


def test_a_path_with_a_small_mtu_is_a_black_hole(lab: Lab, internet: Netem) -> None:
    internet.set_link(0, 1, Link(delay_ms=1, mtu=1280))
    largest = ["-M", "do", "198.51.100.2", "-s"]
    assert answers(lab, *largest, str(1280 - 28))
    assert not answers(lab, *largest, str(1280 - 27))
    internet.set_link(0, 1, Link())
    assert answers(lab, *largest, str(1280 - 27))


def test_what_tcp_hands_over_in_one_piece_is_carried_in_frames(lab: Lab, internet: Netem) -> None:
    """Else a path with a small MTU would swallow all of it, and one lost packet be 64 KiB."""
    home, b = lab.machines["internet"], IPv4Address("198.51.100.2")
    chain = "type filter hook forward priority filter - 1; meta length > 1500 counter; tcp dport 80 counter;"
    home.nft(f"table bridge seen {{ chain forward {{ {chain} }}; }}")
    with (
        listener(lab, "b", 4, 80) as server,
        lab.machines["a"].socket(socket.AF_INET, socket.SOCK_STREAM) as client,
    ):
        for each in (server, client):
            each.settimeout(5)
        client.connect((str(b), 80))
        client.sendall(bytes(50_000))
        client.shutdown(socket.SHUT_WR)
        accepted, _ = server.accept()
        with accepted, accepted.makefile("rb") as received:
            accepted.settimeout(5)
            assert len(received.read()) == 50_000
    too_large, all_of_it = re.findall(r"packets (\d+)", home.run(["nft", "list", "table", "bridge", "seen"]))
    assert int(too_large) == 0
    assert int(all_of_it) > 50_000 // 1500


def test_frames_go_through_the_class_of_their_path(lab: Lab, internet: Netem) -> None:
    assert answers(lab)
    shown = lab.machines["internet"].run(["tc", "-s", "class", "show", "dev", "p1"])
    packets = dict(re.findall(r"class htb (1:\d) .*\n Sent \d+ bytes (\d+) pkt", shown))
    assert int(packets["1:2"]) >= 1
    assert packets["1:1"] == packets["1:2"]


def test_lines_can_be_changed(lab: Lab, internet: Netem) -> None:
    internet.set_line(0, Line(1, 2))
    queues = netem._json(lab.machines["a"], "tc", "qdisc", "show", "dev", "eth1")
    assert queues[0]["kind"] == "tbf"
    internet.set_line(0, Line())
    queues = netem._json(lab.machines["a"], "tc", "qdisc", "show", "dev", "eth1")
    assert queues[0]["kind"] == "pfifo"


def test_unknown_ports_and_values_are_refused(internet: Netem) -> None:
    for wrong in ((0, 0), (0, 2), (0, 3), (-1, 0)):
        with pytest.raises(RouterError, match="no such port"):
            internet.cut(*wrong)
    with pytest.raises(ConfigError, match="loss is 2"):
        internet.set_link(0, 1, Link(loss=2))
    internet.check()


def test_a_deleted_interface_is_reported_by_name(lab: Lab, internet: Netem) -> None:
    lab.machines["b"].ip(["link del eth1"])
    with pytest.raises(RouterError, match=r"deleted: eth1 in nl-.*-b$"):
        internet.check()
