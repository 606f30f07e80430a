"""The NAT box: the inside gets out, the outside does not get in, and can't spoil a mapping by being early."""

import socket

import pytest

from netns_lab.lab import Lab
from netns_lab.topology import Topology

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
