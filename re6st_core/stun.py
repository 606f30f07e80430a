"""STUN Binding requests and answers (RFC 8489), as far as nodes need them: the mapped address of a socket.

 0                   16                  32
| type, 0x0001 ...  | length            |     requests carry SOFTWARE, long enough that an answer
| magic cookie 0x2112A442               |     is never larger than its question: a reflector amplifies
| transaction id, 12 bytes              |     nothing, whoever forges the source address
| attributes: type, length, value, padding to 4 bytes; FINGERPRINT is the last |
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import WireError

MAGIC: Final = 0x2112A442
REQUEST: Final = 0x0001
SUCCESS: Final = 0x0101
_XOR_MAPPED_ADDRESS: Final = 0x0020
_SOFTWARE: Final = 0x8022
_FINGERPRINT: Final = 0x8028
_FINGERPRINT_XOR: Final = 0x5354554E
MAX_MESSAGE: Final = 548
"""Bytes; what fits anywhere without fragments (RFC 8489 section 6.1)."""

_HEADER: Final = struct.Struct("!HHI12s")
_ATTRIBUTE: Final = struct.Struct("!HH")
_SOFTWARE_NAME: Final = b"re6stnet".ljust(20)
"""20 bytes make a request as large as an answer with an IPv6 address: 52."""


@dataclass(frozen=True, slots=True)
class BindingRequest:
    """Asks where this datagram comes from."""

    transaction: bytes
    """12 bytes, not to be guessed."""


@dataclass(frozen=True, slots=True)
class BindingSuccess:
    """Says where the request of this transaction came from."""

    transaction: bytes
    mapped: Endpoint


def encode_request(request: BindingRequest) -> bytes:
    """The datagram of a question, 52 bytes."""
    return _message(REQUEST, request.transaction, _attribute(_SOFTWARE, _SOFTWARE_NAME))


def encode_success(success: BindingSuccess) -> bytes:
    """The datagram of an answer, 40 bytes for IPv4 and 52 for IPv6."""
    packed = success.mapped.ip.packed
    masked = bytes(a ^ b for a, b in zip(packed, _mask(success.transaction), strict=False))
    family = 1 if success.mapped.ip.version == 4 else 2
    value = struct.pack("!BBH", 0, family, success.mapped.port ^ MAGIC >> 16) + masked
    return _message(SUCCESS, success.transaction, _attribute(_XOR_MAPPED_ADDRESS, value))


def decode_stun_untrusted(data: bytes) -> BindingRequest | BindingSuccess:
    """Read a datagram.  Raises WireError, also for other kinds of message and a wrong FINGERPRINT."""
    if not _HEADER.size <= len(data) <= MAX_MESSAGE:
        raise WireError(f"STUN: {len(data)} bytes are no message")
    kind, length, magic, transaction = _HEADER.unpack_from(data)
    if magic != MAGIC or length != len(data) - _HEADER.size or length % 4:
        raise WireError("STUN: malformed header")
    if kind not in (REQUEST, SUCCESS):
        raise WireError(f"STUN: message of kind {kind:#06x}")
    mapped = None
    for name, value, offset in _attributes(data):
        if name == _FINGERPRINT:
            # Section 14.7: over all that precedes; whatever would follow is not STUN.
            if value != _fingerprint(data[:offset]) or offset + 8 != len(data):
                raise WireError("STUN: wrong fingerprint")
        elif name == _XOR_MAPPED_ADDRESS:
            mapped = mapped or _decode_address(value, transaction)
        elif name < 0x8000 and kind == REQUEST:
            raise WireError(f"STUN: attribute {name:#06x} must be understood and is not")
    if kind == REQUEST:
        return BindingRequest(transaction)
    if mapped is None:
        raise WireError("STUN: the answer has no mapped address")
    return BindingSuccess(transaction, mapped)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Type, value and offset of each attribute.  Raises WireError."""
    offset = _HEADER.size
    while offset < len(data):
        # Length is a multiple of 4, so there is always room for an attribute's head.
        name, length = _ATTRIBUTE.unpack_from(data, offset)
        end = offset + _ATTRIBUTE.size + length
        if end > len(data):
            raise WireError("STUN: attribute cut off")
        yield name, data[offset + _ATTRIBUTE.size : end], offset
        offset = end + -length % 4


def _decode_address(value: bytes, transaction: bytes) -> Endpoint:
    if len(value) < 4 or (value[1], len(value)) not in ((1, 8), (2, 20)):
        raise WireError("STUN: malformed address")
    port = int.from_bytes(value[2:4], "big") ^ MAGIC >> 16
    packed = bytes(a ^ b for a, b in zip(value[4:], _mask(transaction), strict=False))
    try:
        return Endpoint(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed), port, Protocol.UDP)
    except ValueError as exc:
        raise WireError(f"STUN: {exc}") from exc


def _mask(transaction: bytes) -> bytes:
    return MAGIC.to_bytes(4, "big") + transaction


def _attribute(name: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(name, len(value)) + value + bytes(-len(value) % 4)


def _message(kind: int, transaction: bytes, attributes: bytes) -> bytes:
    if len(transaction) != 12:
        raise ValueError("a transaction id has 12 bytes")
    start = _HEADER.pack(kind, len(attributes) + 8, MAGIC, transaction) + attributes
    return start + _attribute(_FINGERPRINT, _fingerprint(start))


def _fingerprint(start: bytes) -> bytes:
    """Of what precedes the attribute; the header's length already counts it."""
    return (zlib.crc32(start) ^ _FINGERPRINT_XOR).to_bytes(4, "big")
