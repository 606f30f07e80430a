"""The switch between real TAPs: order, delay, and an end that takes the TAPs along."""

import os
import select
import signal
import socket
import time

import pytest

from netns_lab.internet.switch import Port, Switch
from netns_lab.lab import Lab
from netns_lab.topology import Topology
from re6st_core.errors import RouterError

pytestmark = pytest.mark.root


def test_datagrams_keep_their_order_when_the_delay_is_lowered_meanwhile(small: Topology) -> None:
    with (
        Lab(small) as lab,
        lab.machines["a"].socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        lab.machines["b"].socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
    ):
        receiver.bind(("203.0.113.2", 5000))
        receiver.settimeout(5)
        sender.sendto(b"first", ("203.0.113.2", 5000))  # neighbour discovery is over when this arrives
        receiver.recv(100)
        began = time.monotonic()
        for number in range(200):
            if number == 100:
                lab.switch.set_rtt(lab.port("a"), lab.port("b"), 2)
            sender.sendto(number.to_bytes(2, "big"), ("203.0.113.2", 5000))
        received = [receiver.recv(100) for _ in range(200)]
        assert time.monotonic() - began >= 0.010  # half of the matrix's 20 ms
    assert received == [number.to_bytes(2, "big") for number in range(200)]


def test_killing_the_switch_removes_its_taps_and_is_reported(small: Topology) -> None:
    with Lab(small) as lab:
        assert "net0" in lab.machines["a"].run(["ip", "-o", "link"])
        ended = os.pidfd_open(lab.switch.pid)
        os.kill(lab.switch.pid, signal.SIGKILL)
        select.select([ended], [], [], 5)
        os.close(ended)
        assert not lab.switch.alive
        assert "net0" not in lab.machines["a"].run(["ip", "-o", "link"])
        with pytest.raises(RouterError, match="the switch does not answer"):
            lab.switch.stats()


def test_a_tap_that_exists_already_is_refused_by_name(small: Topology) -> None:
    with Lab(small) as lab:
        home = lab.machines["internet"]
        with pytest.raises(RouterError, match=r"TAP net0 in .*busy"):
            Switch.start([Port(lab.machines["a"], "net0")], [[0]], home=home, log=lab.logs / "second.log")


def test_an_unknown_pair_is_refused_and_the_switch_lives_on(small: Topology) -> None:
    with Lab(small) as lab:
        with pytest.raises(RouterError, match="no such pair of ports"):
            lab.switch.cut(0, 99)
        assert lab.switch.stats().dropped_cut == 0
