"""How far destinations are, asked and told in one datagram each: what selection compares candidates by.

question  | 1 | nonce, 8 bytes | count, 2 | tags, 4 bytes each |
answer    | 2 | nonce, 8 bytes | flags, 1 | count, 2 | metrics, 2 bytes each | peers, to the end |
peer      | length of its prefix, 1 | prefix, as many bytes as that takes | flags, 1 | address, 4 or 16 |
          | port, 2 | country, 2, if the flag says so |

A destination's tag is the CRC-32 of its CN: with 10,000 nodes, one in 400,000 is taken for another.  Metrics
are Babel's; 65535 is no route.  What is left of the length of the question is filled with peers: an answer is
never longer than its question, so nothing is amplified, whoever forges the source address.  The nonce is not
to be guessed: only who sees the question can answer it, and who is on the way between two nodes can lie to
them by Babel, too (docs/decisions/0012-selection.md).
"""

import struct
import zlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import WireError
from re6st_core.prefix import Prefix

NO_ROUTE: Final = 65535
MAX_DESTINATIONS: Final = 256
MAX_DATAGRAM: Final = 1232
"""Bytes: with its headers it fits in the smallest packet that every IPv6 link takes (1280)."""
NONCE_BYTES: Final = 8
_QUESTION, _ANSWER = 1, 2
_HEAD: Final = struct.Struct("!B8sH")
_ANSWER_HEAD: Final = struct.Struct("!B8sBH")
_ROOM: Final = 1
_IPV6, _TCP, _COUNTRY = 1, 2, 4


@dataclass(frozen=True, slots=True)
class DistanceQuestion:
    """Asks for the metrics of these destinations."""

    nonce: bytes
    tags: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NamedPeer:
    """A node that exists, and where it says it can be reached."""

    prefix: Prefix
    endpoint: Endpoint
    """By UDP."""
    tcp: bool
    """Also by TCP, at the same address and port."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """All that is said of it."""
        udp = self.endpoint
        return (udp, Endpoint(udp.ip, udp.port, Protocol.TCP, udp.country)) if self.tcp else (udp,)


@dataclass(frozen=True, slots=True)
class DistanceAnswer:
    """One metric for each tag of the question."""

    nonce: bytes
    metrics: tuple[int, ...]
    room: bool = False
    """The sender would take one more tunnel."""
    peers: tuple[NamedPeer, ...] = ()


def tag(destination: Prefix) -> int:
    """The short name of a destination."""
    return zlib.crc32(destination.cn.encode())


def question_size(count: int) -> int:
    """Bytes of a question about so many destinations."""
    return _HEAD.size + 4 * count


def encode_question(question: DistanceQuestion) -> bytes:
    """One datagram; at most ``MAX_DESTINATIONS`` tags."""
    count = len(question.tags)
    return _HEAD.pack(_QUESTION, question.nonce, count) + struct.pack(f"!{count}I", *question.tags)


def encode_answer(answer: DistanceAnswer, size: int) -> bytes:
    """One datagram of at most ``size`` bytes; peers that find no place are left out."""
    count = len(answer.metrics)
    data = _ANSWER_HEAD.pack(_ANSWER, answer.nonce, _ROOM if answer.room else 0, count)
    data += struct.pack(f"!{count}H", *answer.metrics)
    for peer in answer.peers:
        encoded = _encode_peer(peer)
        if len(data) + len(encoded) > size:
            break
        data += encoded
    return data


def _encode_peer(peer: NamedPeer) -> bytes:
    prefix, endpoint = peer.prefix, peer.endpoint
    width = (prefix.length + 7) // 8
    country = endpoint.country
    flags = (
        (_IPV6 if endpoint.ip.version == 6 else 0) | (_TCP if peer.tcp else 0) | (_COUNTRY if country else 0)
    )
    return b"".join(
        (
            bytes([prefix.length]),
            prefix.value.to_bytes(width),
            bytes([flags]),
            endpoint.ip.packed,
            endpoint.port.to_bytes(2),
            country.encode() if country else b"",
        )
    )


def decode_question_untrusted(data: bytes) -> DistanceQuestion:
    """Read a question.  Raises WireError."""
    if len(data) < _HEAD.size or data[0] != _QUESTION:
        raise WireError("distances: not a question")
    _kind, nonce, count = _HEAD.unpack_from(data)
    if not 0 < count <= MAX_DESTINATIONS or len(data) != question_size(count):
        raise WireError(f"distances: a question about {count} destinations in {len(data)} bytes")
    return DistanceQuestion(nonce, struct.unpack_from(f"!{count}I", data, _HEAD.size))


def decode_answer_untrusted(data: bytes) -> DistanceAnswer:
    """Read an answer.  Raises WireError."""
    if not _ANSWER_HEAD.size <= len(data) <= MAX_DATAGRAM or data[0] != _ANSWER:
        raise WireError("distances: not an answer")
    _kind, nonce, flags, count = _ANSWER_HEAD.unpack_from(data)
    end = _ANSWER_HEAD.size + 2 * count
    if count > MAX_DESTINATIONS or len(data) < end:
        raise WireError(f"distances: {count} metrics in {len(data)} bytes")
    metrics = struct.unpack_from(f"!{count}H", data, _ANSWER_HEAD.size)
    peers = []
    try:
        while end < len(data):
            peer, end = _decode_peer(data, end)
            peers.append(peer)
    except ValueError as exc:
        raise WireError(f"distances: an impossible peer: {exc}") from exc
    return DistanceAnswer(nonce, metrics, bool(flags & _ROOM), tuple(peers))


def _decode_peer(data: bytes, start: int) -> tuple[NamedPeer, int]:
    """Raises ValueError."""
    parts = []
    length = data[start]
    start += 1
    for size in ((length + 7) // 8, 1):
        parts.append(data[start : start + size])
        start += size
    flags = int.from_bytes(parts[1])
    for size in (16 if flags & _IPV6 else 4, 2, 2 if flags & _COUNTRY else 0):
        parts.append(data[start : start + size])
        start += size
    if start > len(data):
        raise ValueError("cut off")
    ip = IPv6Address(parts[2]) if flags & _IPV6 else IPv4Address(parts[2])
    country = parts[4].decode("ascii")
    if country and not (country.isalpha() and country.isupper()):
        raise ValueError("malformed country")
    endpoint = Endpoint(ip, int.from_bytes(parts[3]), Protocol.UDP, country or None)
    return NamedPeer(Prefix(length, int.from_bytes(parts[0])), endpoint, bool(flags & _TCP)), start
