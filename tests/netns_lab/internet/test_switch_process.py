"""The C loop between descriptors (socket pairs here, so no privileges), and its statistics."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from netns_lab._native._switch import ffi, lib
from netns_lab.internet.switch_model import port_mac
from netns_lab.internet.switch_process import read_stats

ETHERNET = 14


@contextmanager
def running_switch(ports: int, delay_ns: int) -> Iterator[tuple[list[socket.socket], Any]]:
    """A switch whose ports are datagram socket pairs; gives our ends and the switch."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(ports)]
    switch = ffi.gc(lib.sw_new(ports, 1024), lib.sw_free)
    for source in range(ports):
        for to in range(ports):
            lib.sw_set_delay(switch, source, to, delay_ns)
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


def frame(to: int, payload: bytes) -> bytes:
    return bytes.fromhex(port_mac(to).replace(":", "")) + bytes(8) + payload


def test_frames_arrive_in_order_and_not_before_their_delay() -> None:
    with running_switch(2, delay_ns=20_000_000) as ((a, b), _):
        sent_ns = time.monotonic_ns()
        for number in range(100):
            a.send(frame(1, number.to_bytes(2, "big")))
        received = [b.recv(2048)[ETHERNET:] for _ in range(100)]
        assert time.monotonic_ns() - sent_ns >= 20_000_000
        assert received == [number.to_bytes(2, "big") for number in range(100)]


def test_a_broadcast_reaches_all_other_ports() -> None:
    with running_switch(3, delay_ns=0) as ((a, b, c), switch):
        a.send(b"\xff" * 6 + bytes(8) + b"who has")
        assert b.recv(2048).endswith(b"who has")
        assert c.recv(2048).endswith(b"who has")
        assert read_stats(switch)["received"] == 1


def test_frames_to_nobody_are_counted_and_dropped() -> None:
    with running_switch(2, delay_ns=0) as ((a, b), switch):
        a.send(frame(77, b"lost"))
        a.send(frame(1, b"kept"))
        assert b.recv(2048).endswith(b"kept")
        assert read_stats(switch)["dropped_unknown"] == 1


def test_lateness_is_measured() -> None:
    with running_switch(2, delay_ns=1_000_000) as ((a, b), switch):
        for _ in range(50):
            a.send(frame(1, b"x"))
            b.recv(2048)
        stats = read_stats(switch)
        assert 0 < stats["late_p50_us"] <= stats["late_p99_us"]


def test_a_port_that_goes_away_does_not_stop_the_others() -> None:
    with running_switch(3, delay_ns=0) as ((a, b, c), _):
        c.close()
        a.send(b"\xff" * 6 + bytes(8) + b"still here")
        assert b.recv(2048).endswith(b"still here")
