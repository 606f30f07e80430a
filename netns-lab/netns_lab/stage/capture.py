"""What passes through a machine's interfaces, as its kernel sees it: which tunnels carry what.

A packet socket without link layer, so that the packets of TAPs and of WireGuard's interfaces look alike.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from netns_lab.namespace import Machine
from re6st_core.errors import WireError

BABEL_PORT = 6696
_ALL_IPV6 = socket.htons(0x86DD)
_IPV6_HEADER = 40
_UDP_HEADER = 8
_BABEL = struct.Struct("!BBH")
_MAC_TLV = 16  # RFC 8967 §6.1


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP datagram in IPv6."""

    source_port: int
    to_port: int
    payload: bytes


def decode_datagram_untrusted(packet: bytes) -> Datagram | None:
    """Take an IPv6 packet apart; None: it is no UDP.  WireError: it is cut short."""
    if len(packet) < _IPV6_HEADER or packet[0] >> 4 != 6:
        raise WireError("not an IPv6 packet")
    if packet[6] != socket.IPPROTO_UDP:
        return None
    if len(packet) < _IPV6_HEADER + _UDP_HEADER:
        raise WireError("not a whole UDP header")
    source_port, to_port = struct.unpack_from("!HH", packet, _IPV6_HEADER)
    return Datagram(source_port, to_port, packet[_IPV6_HEADER + _UDP_HEADER :])


def has_mac_untrusted(payload: bytes) -> bool:
    """Whether a Babel packet has a MAC in its trailer (RFC 8967 §4.1); WireError: it is no Babel packet."""
    if len(payload) < _BABEL.size:
        raise WireError("shorter than a Babel header")
    magic, version, length = _BABEL.unpack_from(payload)
    if (magic, version) != (42, 2) or len(payload) < _BABEL.size + length:
        raise WireError("not a Babel packet")
    trailer = payload[_BABEL.size + length :]
    while trailer:
        if trailer[0] == 0:  # Pad1
            trailer = trailer[1:]
            continue
        if trailer[0] == _MAC_TLV:
            return True
        if len(trailer) < 2:
            raise WireError("a trailer that ends within a TLV")
        trailer = trailer[2 + trailer[1] :]
    return False


class Capture:
    """Hands every UDP datagram of a machine, with its interface, to ``take``; use it with ``with``."""

    def __init__(self, machine: Machine, take: Callable[[str, Datagram], None]) -> None:
        self._socket = machine.socket(socket.AF_PACKET, socket.SOCK_DGRAM, _ALL_IPV6)
        self._take = take
        self.packets = 0  # IPv6 packets seen, of any kind

    def __enter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._socket, self._readable)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _readable(self) -> None:
        try:
            packet, address = self._socket.recvfrom(2048)
            datagram = decode_datagram_untrusted(packet)
        except (OSError, WireError):
            return
        self.packets += 1
        if datagram is not None:
            self._take(address[0], datagram)
