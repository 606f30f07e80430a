"""Which way packets take now: echo requests whose hop limit runs out one node further each.

    a --1--> r1 "time exceeded"          sent all at once: the answer takes one round trip
    a --2--> r1 --1--> r2 "time exceeded"
    a --3--> r1 --2--> r2 --1--> b "echo reply"

RFC 4443 §3.3: the error carries the packet that caused it, so each answer tells which question it belongs to.
"""

import asyncio
import contextlib
import secrets
import socket
import struct
import time
from dataclasses import dataclass
from ipaddress import IPv6Address

from netns_lab.echo import ECHO_REPLY_V6, decode_reply_untrusted, open_raw, request
from netns_lab.namespace import Machine
from re6st_core.errors import WireError

MAX_HOPS = 12
_TIME_EXCEEDED = 3
_IPV6_HEADER = 40
_ECHO = struct.Struct("!BBHHH")


@dataclass(frozen=True, slots=True)
class Exceeded:
    """The echo request whose hop limit ran out."""

    identifier: int
    sequence: int


def decode_exceeded_untrusted(packet: bytes) -> Exceeded:
    """Take an ICMPv6 "time exceeded" about an echo request apart; WireError for all else."""
    inner = packet[8:]
    if packet[:1] != bytes([_TIME_EXCEEDED]) or len(inner) < _IPV6_HEADER + _ECHO.size:
        raise WireError("not a whole time exceeded message")
    if inner[0] >> 4 != 6 or inner[6] != socket.IPPROTO_ICMPV6:
        raise WireError("not about an ICMPv6 packet")
    kind, _, _, identifier, sequence = _ECHO.unpack_from(inner, _IPV6_HEADER)
    if kind != 128:
        raise WireError("not about an echo request")
    return Exceeded(identifier, sequence)


class Answers:
    """Collects who answered at which distance.  Pure."""

    def __init__(self, identifier: int) -> None:
        self._identifier = identifier
        self._at: dict[int, IPv6Address] = {}
        self._end: int | None = None

    def take(self, packet: bytes, source: IPv6Address) -> None:
        """An ICMPv6 message came; what is not for us is passed over."""
        try:
            answer = (
                decode_reply_untrusted(socket.AF_INET6, packet)
                if packet[:1] == bytes([ECHO_REPLY_V6])
                else decode_exceeded_untrusted(packet)
            )
        except WireError:
            return
        if answer.identifier != self._identifier:
            return
        if not isinstance(answer, Exceeded):
            self._end = min(answer.sequence, self._end or MAX_HOPS)
        self._at.setdefault(answer.sequence, source)

    @property
    def path(self) -> tuple[IPv6Address, ...] | None:
        """Every node on the way, the target last; None while one is missing."""
        if self._end is None or any(hop not in self._at for hop in range(1, self._end + 1)):
            return None
        return tuple(self._at[hop] for hop in range(1, self._end + 1))


async def path_to(machine: Machine, target: IPv6Address, *, within_s: float = 1.0) -> list[IPv6Address]:
    """The nodes on the way from a machine to an overlay address, the target last; empty: not all answered.

    The nodes must not limit their ICMP errors (``net.ipv6.icmp.ratelimit``), else some are missing.
    """
    answers = Answers(identifier := secrets.randbelow(1 << 16))
    complete = asyncio.Event()
    with open_raw(machine, socket.AF_INET6, kinds=(_TIME_EXCEEDED, ECHO_REPLY_V6)) as raw:

        def readable() -> None:
            with contextlib.suppress(OSError):
                packet, source = raw.recvfrom(512)
                answers.take(packet, IPv6Address(source[0].partition("%")[0]))
                if answers.path is not None:
                    complete.set()

        loop = asyncio.get_running_loop()
        loop.add_reader(raw, readable)
        try:
            for hop_limit in range(1, MAX_HOPS + 1):
                raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hop_limit)
                packet = request(socket.AF_INET6, identifier, hop_limit, time.time_ns())
                with contextlib.suppress(OSError):  # no route
                    raw.sendto(packet, (str(target), 0))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await complete.wait()
        finally:
            loop.remove_reader(raw)
    return list(answers.path or ())
