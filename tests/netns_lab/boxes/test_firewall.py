"""The firewall: no UDP in or out, everything else passes, and the sender is not told."""

import socket

import pytest

from netns_lab.lab import Lab
from netns_lab.topology import Topology

pytestmark = pytest.mark.root

OPEN, BLOCKED = "203.0.113.1", "203.0.113.3"


@pytest.mark.parametrize(("source", "to"), [("a", "c"), ("c", "a")])
def test_udp_vanishes_silently_and_tcp_passes(small: Topology, source: str, to: str) -> None:
    address = str(small.address_of(to))
    with (
        Lab(small) as lab,
        lab.machines[source].socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        lab.machines[to].socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        lab.machines[source].socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
        lab.machines[to].socket(socket.AF_INET, socket.SOCK_STREAM) as server,
    ):
        receiver.bind((address, 5000))
        server.bind((address, 5000))
        server.listen()
        assert datagrams.sendto(b"lost", (address, 5000)) == 4
        # The frames of a pair keep their order: once TCP has answered, the datagram would have been there.
        stream.settimeout(5)
        stream.connect((address, 5000))
        with pytest.raises(BlockingIOError):
            receiver.recv(100)


def test_echo_passes(small: Topology) -> None:
    with Lab(small) as lab:
        lab.machines["c"].run(["ping", "-c", "1", "-W", "2", OPEN])
        lab.machines["a"].run(["ping", "-c", "1", "-W", "2", BLOCKED])
