"""The switch between real TAPs: order, delay, and an end that takes the TAPs along."""

import os
import select
import signal
import socket
import time

import pytest

from netns_lab.internet import switch
from netns_lab.internet.link import Link
from netns_lab.internet.switch import Port, Switch
from netns_lab.lab import Lab
from netns_lab.topology import Topology
from re6st_core.errors import ConfigError, RouterError

pytestmark = pytest.mark.root


def test_datagrams_keep_their_order_when_the_delay_is_lowered_meanwhile(small: Topology) -> None:
    with (
        Lab(small, internet="switch") as lab,
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
                lab.internet.set_link(lab.port("a"), lab.port("b"), Link(delay_ms=1))
            sender.sendto(number.to_bytes(2, "big"), ("203.0.113.2", 5000))
        received = [receiver.recv(100) for _ in range(200)]
        assert time.monotonic() - began >= 0.010  # half of the matrix's 20 ms
    assert received == [number.to_bytes(2, "big") for number in range(200)]


def test_killing_the_switch_removes_its_taps_and_is_reported(small: Topology) -> None:
    with Lab(small, internet="switch") as lab:
        assert "net0" in lab.machines["a"].run(["ip", "-o", "link"])
        assert lab.internet.pid
        ended = os.pidfd_open(lab.internet.pid)
        os.kill(lab.internet.pid, signal.SIGKILL)
        select.select([ended], [], [], 5)
        os.close(ended)
        assert not lab.internet.alive
        assert "net0" not in lab.machines["a"].run(["ip", "-o", "link"])
        with pytest.raises(RouterError, match=r"the switch ended \(killed by SIGKILL\)"):
            lab.internet.check()


def test_a_tap_that_exists_already_is_refused_by_name(small: Topology) -> None:
    with Lab(small, internet="switch") as lab:
        home = lab.machines["internet"]
        with pytest.raises(RouterError, match=r"TAP net0 in .*busy"):
            Switch.start(
                [Port(lab.machines["a"], "net0")], [[Link()]], home=home, log=lab.logs / "second.log"
            )


def test_an_unknown_pair_is_refused_and_the_switch_lives_on(small: Topology) -> None:
    with Lab(small, internet="switch") as lab:
        with pytest.raises(RouterError, match="no such port"):
            lab.internet.cut(0, 99)
        assert lab.internet.stats().dropped["cut"] == 0


def test_values_out_of_bounds_are_refused_all_at_once(small: Topology) -> None:
    with Lab(small, internet="switch") as lab, pytest.raises(ConfigError) as refused:
        lab.internet.set_link(0, 1, Link(delay_ms=-1, loss=1.5, rate_mbit=0, mtu=9000))
    assert [problem.partition(": ")[2] for problem in refused.value.problems] == [
        "delay_ms is -1, not 0 to 60000",
        "loss is 1.5, not 0 to 1",
        "rate_mbit is 0, not 0.001 to 100000",
        "mtu is 9000, not 68 to 1500",
    ]


def test_a_deleted_interface_is_reported_by_name_and_the_others_live_on(small: Topology) -> None:
    with Lab(small, internet="switch") as lab:
        lab.internet.check()
        lab.machines["b"].ip(["link del net0"])
        lab.machines["a"].run(["ping", "-c", "1", "-W", "2", "203.0.113.3"])
        with pytest.raises(RouterError, match=r"deleted: net0 in nl-.*-b$"):
            lab.internet.check()


def test_a_switch_that_hangs_is_ended_and_reported(small: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    with Lab(small, internet="switch") as lab:
        monkeypatch.setattr(switch, "_ANSWER_WITHIN_S", 0.2)
        assert lab.internet.pid
        os.kill(lab.internet.pid, signal.SIGSTOP)
        with pytest.raises(RouterError, match=r"did not answer within 0\.2 s and was ended"):
            lab.internet.stats()
        assert not lab.internet.alive


def test_ipv6_neighbours_find_each_other(small: Topology) -> None:
    with Lab(small, internet="switch") as lab:
        for number, name in enumerate("ab", 1):
            lab.machines[name].ip([f"addr add 2001:db8:2::{number}/64 dev net0 nodad"])
        lab.machines["a"].run(["ping", "-c", "1", "-W", "2", "2001:db8:2::2"])


def test_a_path_with_a_rate_lets_datagrams_through_one_after_the_other(small: Topology) -> None:
    with (
        Lab(small, internet="switch") as lab,
        lab.machines["a"].socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        lab.machines["b"].socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
    ):
        receiver.bind(("203.0.113.2", 5000))
        receiver.settimeout(5)
        lab.internet.set_link(lab.port("a"), lab.port("b"), Link(rate_mbit=1))
        began = time.monotonic()
        for _ in range(10):
            sender.sendto(bytes(958), ("203.0.113.2", 5000))  # 1,000 bytes with all headers: 8 ms
        for _ in range(10):
            receiver.recv(1000)
        assert time.monotonic() - began >= 0.080
        lab.internet.set_link(lab.port("a"), lab.port("b"), Link(loss=1))
        sender.sendto(b"lost", ("203.0.113.2", 5000))
        while not lab.internet.stats().ports[lab.port("a")].dropped.get("loss"):
            pass


def test_a_silent_site_keeps_its_carrier_and_comes_back(small: Topology) -> None:
    with Lab(small, internet="switch") as lab:
        ping = ["ping", "-c", "1", "-W", "1", "203.0.113.2"]
        lab.machines["a"].run(ping)
        lab.internet.silence(lab.port("b"))
        with pytest.raises(RouterError, match="ping"):
            lab.machines["a"].run(ping)
        assert "LOWER_UP" in lab.machines["b"].run(["ip", "link", "show", "net0"])
        lab.internet.revive(lab.port("b"))
        lab.machines["a"].run(ping)
        assert lab.internet.stats().dropped["silent"] >= 1


def test_a_path_with_a_small_mtu_is_a_black_hole(small: Topology) -> None:
    with Lab(small, internet="switch") as lab:
        lab.internet.set_link(lab.port("a"), lab.port("b"), Link(mtu=1280))
        largest = ["ping", "-c", "1", "-W", "1", "-M", "do", "203.0.113.2", "-s"]
        lab.machines["a"].run([*largest, str(1280 - 28)])
        with pytest.raises(RouterError, match="ping"):
            lab.machines["a"].run([*largest, str(1280 - 27)])
        assert lab.internet.stats().ports[lab.port("a")].dropped["mtu"] == 1
