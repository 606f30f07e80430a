"""Measure a NAT from both sides with STUN messages, knowing nothing of its kind: the tests of RFC 5780.

The server has two addresses with two ports each.  RFC 5780 lets a client ask by CHANGE-REQUEST for an answer
from another of the four; here one process holds the sockets of all machines, and simply sends it.

That a packet does *not* pass is never concluded from a time-out: behind it goes an ordinary question and
answer on the same path, and what has not arrived when that has will not come.
"""

import secrets
import select
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address
from types import TracebackType
from typing import Self

from netns_lab.boxes.behaviour import Behaviour, Depends
from netns_lab.boxes.nat_bench import Host
from netns_lab.namespace import Machine
from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import RouterError, WireError
from re6st_core.stun import (
    MAX_MESSAGE,
    BindingRequest,
    BindingSuccess,
    decode_stun_untrusted,
    encode_request,
    encode_success,
)

PORTS = (3478, 3479)
_ANSWER_WITHIN_S = 0.5
_TRIES = 4

HERE, OTHER_PORT, OTHER_ADDRESS, OTHER_BOTH = (0, 0), (0, 1), (1, 0), (1, 1)
"""Which of the server's addresses and ports: HERE is the one that is asked first."""

Where = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was seen of a NAT."""

    behaviour: Behaviour
    early_peer_harmless: bool
    """A peer whose packets come before those of the inside host does not change the mapping."""
    equal_ports_apart: bool
    """Two inside hosts with the same port have mappings of their own, each gets its answers, and each mapping
    is the same for all peers if one host's alone is."""


class Prober:
    """The server, and one question at a time through NATs; a context manager that closes all sockets."""

    def __init__(self, server: Machine, addresses: Sequence[IPv4Address]) -> None:
        self._held = ExitStack()
        self._sockets: dict[Where, socket.socket] = {}
        for i, address in enumerate(addresses):
            for j, port in enumerate(PORTS):
                self._sockets[i, j] = self.open(server, address, port)
        self._by_number = {each.fileno(): each for each in self._sockets.values()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def open(self, machine: Machine, address: IPv4Address, port: int = 0) -> socket.socket:
        """A UDP socket on a machine, bound; closed with the prober."""
        opened = self._held.enter_context(machine.socket(socket.AF_INET, socket.SOCK_DGRAM))
        opened.bind((str(address), port))
        return opened

    def ask(self, client: socket.socket, where: Where = HERE) -> Endpoint:
        """The mapped address towards one of the server's; RouterError when nothing answers."""
        return self._ask(client, where)[0]

    def arrives(self, source: socket.socket | Where, to: Endpoint, client: socket.socket) -> bool:
        """Whether a packet sent to a mapped address arrives at a client that has asked HERE."""
        sender = source if isinstance(source, socket.socket) else self._sockets[source]
        transaction = secrets.token_bytes(12)
        sender.sendto(encode_success(BindingSuccess(transaction, to)), to.socket_address)
        return transaction in self._ask(client, HERE)[1]

    def _ask(self, client: socket.socket, where: Where) -> tuple[Endpoint, set[bytes]]:
        """Also the transactions of all other answers that came until then."""
        others: set[bytes] = set()
        for _ in range(_TRIES):
            transaction = secrets.token_bytes(12)
            client.sendto(encode_request(BindingRequest(transaction)), self._sockets[where].getsockname())
            deadline = time.monotonic() + _ANSWER_WITHIN_S
            while (left_s := deadline - time.monotonic()) > 0:
                self._serve(left_s, client)
                for answer in _answers(client):
                    if answer.transaction == transaction:
                        return answer.mapped, others
                    others.add(answer.transaction)
        asked = "{}:{}".format(*self._sockets[where].getsockname())
        raise RouterError(f"STUN at {asked} does not answer {'{}:{}'.format(*client.getsockname())}")

    def serve(self, within_s: float, clients: Iterable[socket.socket]) -> None:
        """Answer questions until there is something to read at a client, or the time is up."""
        deadline = time.monotonic() + within_s
        waiting = tuple(clients)
        while (left_s := deadline - time.monotonic()) > 0:
            if self._serve(left_s, *waiting):
                return

    def _serve(self, within_s: float, *clients: socket.socket) -> bool:
        """Wait once, and answer; returns whether there is something to read at a client."""
        poll = select.poll()
        for each in (*clients, *self._sockets.values()):
            poll.register(each, select.POLLIN)
        ready = [number for number, _ in poll.poll(within_s * 1000)]
        for number in ready:
            if number in self._by_number:
                _answer(self._by_number[number])
        return any(number not in self._by_number for number in ready)


def measure(prober: Prober, first: Host, second: Host) -> Measured:
    """Find out how the NAT in front of two hosts behaves; RouterError when nothing gets through at all."""
    one = prober.open(first.machine, first.address)
    mapped = prober.ask(one)
    mapping = _mapping(prober, one, mapped)
    return Measured(
        Behaviour(
            mapping,
            _filtering(prober, first),
            preserves_port=mapped.port == one.getsockname()[1],
            overloads_port=_overloads(prober, first, second),
            hairpin=_hairpin(prober, first, second),
        ),
        early_peer_harmless=_early_peer_harmless(prober, first, mapping),
        equal_ports_apart=_equal_ports_apart(prober, first, second, mapping),
    )


def lifetimes_s(
    prober: Prober, hosts: Sequence[Host], *, step_s: float, at_most_s: float
) -> list[tuple[float, float]]:
    """How long a mapping of each host's lives that nothing passes through: at least, and less than.

    One mapping for each multiple of the step; then a packet of the server shows whether it is still there.
    """
    made = [
        [
            (number * step_s, time.monotonic(), client, prober.ask(client))
            for number in range(1, round(at_most_s / step_s) + 1)
            for client in [prober.open(host.machine, host.address)]
        ]
        for host in hosts
    ]
    lived_s = [0.0] * len(hosts)
    gone_s: dict[int, float] = {}  # when it was seen to be: on a busy machine later than it was looked for
    for at_one_time in zip(*made, strict=True):
        for host, (age_s, start_s, client, mapped) in enumerate(at_one_time):
            if host in gone_s:
                continue
            while (left_s := start_s + age_s - time.monotonic()) > 0:
                prober.serve(left_s, ())
            if prober.arrives(HERE, mapped, client):
                lived_s[host] = age_s
            else:
                gone_s[host] = time.monotonic() - start_s
    return [(least_s, gone_s.get(host, least_s + step_s)) for host, least_s in enumerate(lived_s)]


def _mapping(prober: Prober, client: socket.socket, mapped: Endpoint) -> Depends:
    other_port, other_address, other_both = (
        prober.ask(client, where) for where in (OTHER_PORT, OTHER_ADDRESS, OTHER_BOTH)
    )
    if mapped == other_port == other_address == other_both:
        return Depends.NOTHING
    if mapped == other_port and other_address == other_both:
        return Depends.ADDRESS
    return Depends.ADDRESS_AND_PORT


def _filtering(prober: Prober, host: Host) -> Depends:
    client = prober.open(host.machine, host.address)
    mapped = prober.ask(client)
    if prober.arrives(OTHER_BOTH, mapped, client):
        return Depends.NOTHING
    return Depends.ADDRESS if prober.arrives(OTHER_PORT, mapped, client) else Depends.ADDRESS_AND_PORT


def _on_equal_ports(prober: Prober, first: Host, second: Host) -> tuple[socket.socket, socket.socket]:
    one = prober.open(first.machine, first.address)
    return one, prober.open(second.machine, second.address, one.getsockname()[1])


def _overloads(prober: Prober, first: Host, second: Host) -> bool:
    one, two = _on_equal_ports(prober, first, second)
    return prober.ask(one, HERE) == prober.ask(two, OTHER_BOTH)


def _equal_ports_apart(prober: Prober, first: Host, second: Host, mapping: Depends) -> bool:
    one, two = _on_equal_ports(prober, first, second)
    at_one = prober.ask(one)
    before = prober.ask(two, OTHER_BOTH)  # nobody has sent there yet: may another host's port be reused?
    at_two = prober.ask(two)
    return (
        at_one != at_two
        and prober.arrives(HERE, at_one, one)
        and prober.arrives(HERE, at_two, two)
        and (mapping is not Depends.NOTHING or before == at_two == prober.ask(two, OTHER_PORT))
    )


def _hairpin(prober: Prober, first: Host, second: Host) -> bool:
    """Each sends to the other's mapped address, as in simultaneous opening: no filter is in the way."""
    one, two = (prober.open(each.machine, each.address) for each in (first, second))
    at_one, at_two = prober.ask(one), prober.ask(two)
    forth = prober.arrives(one, at_two, two)
    return prober.arrives(two, at_one, one) or forth or prober.arrives(one, at_two, two)


def _early_peer_harmless(prober: Prober, host: Host, mapping: Depends) -> bool:
    """A peer sends first, to a port that the host will have if ports are kept, and to one that it has."""
    witness, client = (prober.open(host.machine, host.address) for _ in range(2))
    port = client.getsockname()[1]
    outside = prober.ask(witness)
    # The witness's answer comes behind it on the same path.
    prober.arrives(HERE, Endpoint(outside.ip, port, Protocol.UDP), witness)
    kept = outside.port == witness.getsockname()[1]
    mapped = prober.ask(client)
    if kept and mapped.port != port:
        return False
    prober.arrives(OTHER_BOTH, mapped, client)
    return mapping is not Depends.NOTHING or prober.ask(client, OTHER_BOTH) == mapped


def _answer(server: socket.socket) -> None:
    for data, source in datagrams(server):
        try:
            message = decode_stun_untrusted(data)
        except WireError:
            continue
        if isinstance(message, BindingRequest):
            mapped = Endpoint(IPv4Address(source[0]), source[1], Protocol.UDP)
            server.sendto(encode_success(BindingSuccess(message.transaction, mapped)), source)


def _answers(client: socket.socket) -> Iterator[BindingSuccess]:
    for data, _ in datagrams(client):
        try:
            message = decode_stun_untrusted(data)
        except WireError:
            continue
        if isinstance(message, BindingSuccess):
            yield message


def datagrams(sock: socket.socket) -> Iterator[tuple[bytes, tuple[str, int]]]:
    """All datagrams that wait; an ICMP error that waits before them is passed over."""
    while True:
        try:
            yield sock.recvfrom(MAX_MESSAGE)
        except BlockingIOError:
            return
        except ConnectionRefusedError:
            continue
