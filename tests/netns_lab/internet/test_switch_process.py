"""The C loop between descriptors (socket pairs here, so no privileges), its statistics and its visitors."""

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from netns_lab._native._switch import ffi, lib
from netns_lab.internet.switch_model import Reason, port_mac
from netns_lab.internet.switch_process import answer, read_stats

ETHERNET = 14


@contextmanager
def running_switch(ports: int, delay_ns: int) -> Iterator[tuple[list[socket.socket], Any]]:
    """A switch whose ports are datagram socket pairs; gives our ends and the switch."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(ports)]
    switch = ffi.gc(lib.sw_new(ports, 1024, 0), lib.sw_free)
    others = [(source, to) for source in range(ports) for to in range(ports) if source != to]
    changes = [[lib.SW_SET_LINK, *pair, 0, delay_ns, 0, 0, 0, 0, 1500] for pair in others]
    assert answer(switch, ports, json.dumps({"apply": changes})) == {}
    fds = ffi.new("int[]", [theirs.fileno() for _, theirs in pairs])
    thread = threading.Thread(target=lib.sw_run, args=(switch, fds))
    thread.start()
    try:
        for ours, _ in pairs:
            ours.settimeout(5)
        yield [ours for ours, _ in pairs], switch
    finally:
        lib.sw_stop(switch)
        thread.join()
        for pair in pairs:
            for end in pair:
                end.close()


def mac(port: int) -> bytes:
    return bytes.fromhex(port_mac(port).replace(":", ""))


def frame(source: int, to: int, payload: bytes) -> bytes:
    return mac(to) + mac(source) + b"\x08\x00" + payload


def arp(source: int, payload: bytes) -> bytes:
    return b"\xff" * 6 + mac(source) + b"\x08\x06" + payload


def dropped(switch: Any, port: int, reason: Reason, *, ports: int) -> int:
    return int(read_stats(switch, ports)["ports"][port][2][reason])


def test_frames_arrive_in_order_and_not_before_their_delay() -> None:
    with running_switch(2, delay_ns=20_000_000) as ((a, b), _):
        sent_ns = time.monotonic_ns()
        for number in range(100):
            a.send(frame(0, 1, number.to_bytes(2, "big")))
        received = [b.recv(2048)[ETHERNET:] for _ in range(100)]
        assert time.monotonic_ns() - sent_ns >= 20_000_000
        assert received == [number.to_bytes(2, "big") for number in range(100)]


def test_a_broadcast_reaches_all_other_ports() -> None:
    with running_switch(3, delay_ns=0) as ((a, b, c), switch):
        a.send(arp(0, b"who has"))
        assert b.recv(2048).endswith(b"who has")
        assert c.recv(2048).endswith(b"who has")
        received = [port[0] for port in read_stats(switch, 3)["ports"]]
        assert received == [1, 0, 0]


def test_frames_to_nobody_are_counted_and_dropped() -> None:
    with running_switch(2, delay_ns=0) as ((a, b), switch):
        a.send(frame(0, 77, b"lost"))
        a.send(frame(0, 1, b"kept"))
        assert b.recv(2048).endswith(b"kept")
        assert dropped(switch, 0, Reason.UNKNOWN, ports=2) == 1


def test_lateness_and_the_busiest_second_are_measured() -> None:
    with running_switch(2, delay_ns=1_000_000) as ((a, b), switch):
        for _ in range(50):
            a.send(frame(0, 1, b"x"))
            b.recv(2048)
        stats = read_stats(switch, 2)
        assert 0 < stats["late_p50_us"] <= stats["late_p99_us"]
        assert stats["late_max_us"] > 0
        assert 0 < stats["peak_per_s"] <= 50
        assert stats["queued"] == 0


def test_a_port_that_goes_away_does_not_stop_the_others() -> None:
    with running_switch(3, delay_ns=0) as ((a, b, c), switch):
        c.close()
        a.send(arp(0, b"still here"))
        assert b.recv(2048).endswith(b"still here")
        a.send(frame(0, 2, b"lost"))
        a.send(frame(0, 1, b"kept"))
        assert b.recv(2048).endswith(b"kept")
        assert dropped(switch, 0, Reason.PORT, ports=3) >= 1


def test_changes_are_in_force_when_they_are_answered_also_under_load() -> None:
    with running_switch(3, delay_ns=0) as ((a, b, c), switch):
        halt = threading.Event()

        def flood() -> None:
            while not halt.is_set():
                c.send(frame(2, 0, b"noise"))

        def sink() -> None:
            while a.recv(2048)[ETHERNET:] != b"last":
                pass

        threads = [threading.Thread(target=each) for each in (flood, sink)]
        for thread in threads:
            thread.start()
        try:
            for number in range(200):
                cut = [[lib.SW_SET_CUT, 1, 0, 1, *[0] * 6], [lib.SW_SET_CUT, 0, 1, 1, *[0] * 6]]
                heal = [[*change[:3], 0, *change[4:]] for change in cut]
                assert answer(switch, 3, json.dumps({"apply": cut})) == {}
                a.send(frame(0, 1, b"lost"))
                while dropped(switch, 0, Reason.CUT, ports=3) <= number:
                    pass
                assert answer(switch, 3, json.dumps({"apply": heal})) == {}
                a.send(frame(0, 1, number.to_bytes(2, "big")))
                assert b.recv(2048)[ETHERNET:] == number.to_bytes(2, "big")
        finally:
            halt.set()
            threads[0].join()
            c.send(frame(2, 0, b"last"))
            threads[1].join()


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("{", "not JSON"),
        ("[]", "not a request"),
        ('{"stop": true}', "not a request"),
        ('{"apply": [[0, 0, "x"]]}', "not a list of changes"),
        ('{"apply": [[0, 0, 99999999999999999999]]}', "not a list of changes"),
        ('{"apply": [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]]}', "not a list of changes"),
        ('{"apply": [7]}', "not a list of changes"),
        ('{"apply": [[1, 0, 2, 1, 0, 0, 0, 0, 0, 0]]}', r"no such port or value: \[1, 0, 2"),
    ],
)
def test_a_bad_request_is_answered_with_one_error_and_the_switch_goes_on(line: str, error: str) -> None:
    with running_switch(2, delay_ns=0) as ((a, b), switch):
        assert re.match(error, answer(switch, 2, line)["error"])
        a.send(frame(0, 1, b"kept"))
        assert b.recv(2048).endswith(b"kept")
