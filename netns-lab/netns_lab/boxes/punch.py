"""Simultaneous opening with bare UDP sockets: do two hosts behind their NATs get a direct path?

As our nodes do it, without the rest: both ends use one port, each learns by STUN where its own is mapped to,
and is told where the other's is (here: by the same process).  Then both send again and again, first to where
they were told, later to where the last packet of the other came from.  The path is there when each knows that
the other hears it.
"""

import secrets
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass
from socket import socket

from netns_lab.boxes.nat_bench import Host
from netns_lab.boxes.nat_probe import HERE, OTHER_BOTH, Prober, datagrams

_FIRST_PORT = 20000  # below those that the kernel gives to others
_ROUNDS = 12
_ROUND_S = 0.05


@dataclass(slots=True)
class _End:
    socket: socket
    word: bytes  # of the pair: a packet of another pair is no success
    target: tuple[str, int]
    hears: bool = False
    is_heard: bool = False

    def send(self) -> None:
        self.socket.sendto(self.word + (b"+" if self.hears else b"-"), self.target)

    def receive(self) -> None:
        for data, source in datagrams(self.socket):
            if data[:-1] == self.word:
                self.target = source
                self.hears = True
                self.is_heard |= data[-1:] == b"+"


def punch(prober: Prober, pairs: Sequence[tuple[Host, Host]]) -> list[bool]:
    """Try all pairs at once, each on a port of its own; the first of a pair always sends a moment earlier.

    The two ends ask different STUN servers; a host with a public address knows it.  Once per prober.
    Returns for each pair whether there is a path; where there is none this takes 0.6 s to be sure.
    """
    ends = [_open(prober, pair, _FIRST_PORT + number) for number, pair in enumerate(pairs)]
    poll = select.poll()
    by_number = {end.socket.fileno(): end for pair in ends for end in pair}
    for number in by_number:
        poll.register(number, select.POLLIN)
    for _ in range(_ROUNDS):
        waiting = [end for pair in ends for end in pair if not all(each.is_heard for each in pair)]
        for end in waiting:
            end.send()
        deadline = time.monotonic() + _ROUND_S
        while waiting and (left_s := deadline - time.monotonic()) > 0:
            for number, _ in poll.poll(left_s * 1000):
                by_number[number].receive()
    return [one.is_heard and other.is_heard for one, other in ends]


def _open(prober: Prober, pair: tuple[Host, Host], port: int) -> tuple[_End, _End]:
    one, other = (prober.open(host.machine, host.address, port) for host in pair)
    word = secrets.token_bytes(8)
    at_one, at_other = (
        (str(host.address), port) if host.public else prober.ask(end, where).socket_address
        for host, end, where in zip(pair, (one, other), (HERE, OTHER_BOTH), strict=True)
    )
    return _End(one, word, at_other), _End(other, word, at_one)
