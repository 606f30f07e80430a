"""Echo requests between machines of a lab, many pairs at once, without a process per pair.

A raw socket per machine and address family is made inside the machine's namespace and read by the lab's own
event loop.  The time of sending travels in the payload; the kernel stamps the arrival, so that a busy lab
process does not lengthen what it measures.  RFC 792 and RFC 4443 §4.

::

    type 8 or 128 | code 0 | checksum | identifier | sequence | sent_ns (8 bytes)
"""

import asyncio
import contextlib
import functools
import secrets
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import TracebackType
from typing import Self

from netns_lab.namespace import Machine
from re6st_core.errors import WireError

Address = IPv4Address | IPv6Address
Pair = tuple[str, str]

_HEADER = struct.Struct("!BBHHHq")
_SO_TIMESTAMPNS = 35
_ICMP6_FILTER = 1
ECHO_REPLY_V6 = 129
_HOP_LIMIT = 64  # what Linux sends with


@dataclass(frozen=True, slots=True)
class Reply:
    """An echo reply as seen by the machine that asked."""

    source: Address
    rtt_ms: float
    hops: int  # links that the reply crossed; 1 = the neighbour itself


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def request(family: int, identifier: int, sequence: int, sent_ns: int) -> bytes:
    """An echo request; for IPv6 the kernel fills in the checksum."""
    kind = 8 if family == socket.AF_INET else 128
    body = _HEADER.pack(kind, 0, 0, identifier, sequence, sent_ns)
    if family == socket.AF_INET6:
        return body
    return _HEADER.pack(kind, 0, checksum(body), identifier, sequence, sent_ns)


@dataclass(frozen=True, slots=True)
class Echoed:
    """The fields of an echo reply; the hop limit that remains is in the packet only for IPv4."""

    identifier: int
    sequence: int
    sent_ns: int
    hop_limit: int | None


def decode_reply_untrusted(family: int, packet: bytes) -> Echoed:
    """Take an echo reply apart; WireError for all else."""
    hop_limit = None
    if family == socket.AF_INET:
        if len(packet) < 20:
            raise WireError("shorter than an IPv4 header")
        hop_limit = packet[8]
        packet = packet[(packet[0] & 15) * 4 :]
    if len(packet) < _HEADER.size:
        raise WireError("shorter than an echo reply of ours")
    kind, code, _, identifier, sequence, sent_ns = _HEADER.unpack_from(packet)
    if (kind, code) != (0 if family == socket.AF_INET else 129, 0):
        raise WireError("not an echo reply")
    return Echoed(identifier, sequence, sent_ns, hop_limit)


def open_raw(machine: Machine, family: int, *, kinds: Iterable[int] = (ECHO_REPLY_V6,)) -> socket.socket:
    """A raw ICMP socket on a machine, with time stamps; of ICMPv6 only these kinds of messages arrive."""
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    raw = machine.socket(family, socket.SOCK_RAW, protocol)
    raw.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    if family == socket.AF_INET6:
        blocked = bytearray(b"\xff" * 32)
        for kind in kinds:
            blocked[kind // 8] &= ~(1 << kind % 8)
        raw.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, bytes(blocked))
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    return raw


def receive_reply(raw: socket.socket, family: int, identifier: int) -> tuple[int, Reply] | None:
    """Read one packet: sequence number and reply; None when it is no reply to that identifier.

    Raises BlockingIOError when there is none.
    """
    try:
        packet, ancillary, _, source = raw.recvmsg(256, 256)
    except BlockingIOError:
        raise
    except OSError:
        return None  # an ICMP error that the kernel reports here
    try:
        echoed = decode_reply_untrusted(family, packet)
    except WireError:
        return None
    if echoed.identifier != identifier:
        return None
    arrived_ns, hop_limit = time.time_ns(), echoed.hop_limit
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = struct.unpack("@ll", data)
            arrived_ns = seconds * 1_000_000_000 + nanoseconds
        elif (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT):
            (hop_limit,) = struct.unpack("@i", data)
    hops = _HOP_LIMIT - (hop_limit if hop_limit is not None else _HOP_LIMIT) + 1
    return echoed.sequence, Reply(ip_address(source[0]), (arrived_ns - echoed.sent_ns) / 1e6, hops)


class EchoSocket:
    """Sends echo requests from one machine to one address family; every reply is handed to ``receive``."""

    def __init__(self, machine: Machine, like: Address, receive: Callable[[Reply], None]) -> None:
        family = socket.AF_INET if like.version == 4 else socket.AF_INET6
        self._socket = open_raw(machine, family)
        self._family = family
        self._identifier = secrets.randbelow(1 << 16)
        self._sequence = 0
        self._receive = receive
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

    def close(self) -> None:
        """Give the socket back; replies that are still under way are lost."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def send(self, to: Address) -> None:
        """Send one request.  No route (yet) is the same as no answer."""
        self._sequence = (self._sequence + 1) & 0xFFFF
        packet = request(self._family, self._identifier, self._sequence, time.time_ns())
        with contextlib.suppress(OSError):
            self._socket.sendto(packet, (str(to), 0))

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            received = receive_reply(self._socket, self._family, self._identifier)
            if received is not None:
                self._receive(received[1])


class Prober:
    """Echo between named machines.  ``targets``: the address to ask for each (from, to)."""

    def __init__(self, machines: Mapping[str, Machine], targets: Mapping[Pair, Address]) -> None:
        self._machines = machines
        self._targets = dict(targets)
        self._pairs = {(source, address): (source, to) for (source, to), address in targets.items()}
        self._sockets: dict[tuple[str, int], EchoSocket] = {}
        self._listener: Callable[[Pair, Reply], None] = lambda pair, reply: None

    async def __aenter__(self) -> Self:
        for (source, _), address in self._targets.items():
            if (source, address.version) not in self._sockets:
                receive = functools.partial(self._received, source)
                self._sockets[source, address.version] = EchoSocket(self._machines[source], address, receive)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._sockets.values():
            each.close()

    async def until_all_answer(
        self, *, interval_s: float, within_s: float, on_answer: Callable[[Pair, int], None]
    ) -> set[Pair]:
        """Ask every pair again and again until it has answered once; returns the pairs that never did.

        ``on_answer`` gets each pair as it answers, and how many are missing then.
        """
        missing = set(self._targets)
        complete = asyncio.Event()

        def listen(pair: Pair, reply: Reply) -> None:
            if pair in missing:
                missing.remove(pair)
                on_answer(pair, len(missing))
                if not missing:
                    complete.set()

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                self._listener = listen
                while missing:
                    self._send(missing)
                    await _set_within(complete, interval_s)
        return missing

    async def measure(self, *, count: int, interval_s: float, wait_s: float) -> dict[Pair, Reply]:
        """Ask every pair ``count`` times and wait ``wait_s`` for the last replies; the fastest reply of each.

        Requests are spread over the interval: sent at once they would queue behind each other.
        """
        best: dict[Pair, Reply] = {}

        def listen(pair: Pair, reply: Reply) -> None:
            if pair not in best or reply.rtt_ms < best[pair].rtt_ms:
                best[pair] = reply

        self._listener = listen
        for _ in range(count):
            for pair in self._targets:
                self._send([pair])
                await asyncio.sleep(interval_s / len(self._targets))
        await asyncio.sleep(wait_s)
        return best

    def _send(self, pairs: Iterable[Pair]) -> None:
        for pair in pairs:
            address = self._targets[pair]
            self._sockets[pair[0], address.version].send(address)

    def _received(self, source: str, reply: Reply) -> None:
        pair = self._pairs.get((source, reply.source))
        if pair is not None:
            self._listener(pair, reply)


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
