"""Netlink messages (netlink(7), RFC 3549 §2.2-2.3): headers and attributes, whatever they are about.

 0         4     6      8          12        16
| length  | type | flags | sequence | port id | payload, padded to 4 bytes | next message ...

The payload of most begins with a fixed part; what follows is a chain of attributes, and the value of an
attribute may be such a chain in its turn::

| length, 2 | type, 2 | value, padded to 4 bytes | next attribute ...

All numbers are in the machine's own order.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from re6st_core.errors import WireError

NESTED: Final = 0x8000
"""Marks an attribute whose value is a chain of attributes."""
_TYPE_BITS: Final = 0x3FFF
_MESSAGE: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_U32: Final = struct.Struct("=I")


@dataclass(frozen=True, slots=True)
class NetlinkMessage:
    """One message as it came."""

    kind: int
    flags: int
    sequence: int
    payload: bytes


def encode_message(message: NetlinkMessage) -> bytes:
    """The bytes of a message to the kernel."""
    length = _MESSAGE.size + len(message.payload)
    return _pad(_MESSAGE.pack(length, message.kind, message.flags, message.sequence, 0) + message.payload)


def decode_messages_untrusted(data: bytes) -> Iterator[NetlinkMessage]:
    """The messages of one datagram.  Raises WireError."""
    offset = 0
    while offset < len(data):
        if len(data) - offset < _MESSAGE.size:
            raise WireError("a netlink message ends in its header")
        length, kind, flags, sequence, _ = _MESSAGE.unpack_from(data, offset)
        if not _MESSAGE.size <= length <= len(data) - offset:
            raise WireError(f"a netlink message claims {length} bytes")
        yield NetlinkMessage(kind, flags, sequence, data[offset + _MESSAGE.size : offset + length])
        offset += (length + 3) & ~3


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute."""
    return _pad(_ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value)


def u32(kind: int, value: int) -> bytes:
    """An attribute that is a number of 32 bits."""
    return attribute(kind, _U32.pack(value))


def text(kind: int, value: str) -> bytes:
    """An attribute that is a name."""
    return attribute(kind, value.encode() + b"\0")


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute made of attributes."""
    return attribute(kind | NESTED, b"".join(attributes))


def decode_attributes_untrusted(data: bytes) -> list[tuple[int, bytes]]:
    """Type and value of each attribute, in their order; types may repeat.  Raises WireError."""
    found: list[tuple[int, bytes]] = []
    offset = 0
    while offset < len(data):
        if len(data) - offset < _ATTRIBUTE.size:
            raise WireError("a netlink attribute ends in its header")
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if not _ATTRIBUTE.size <= length <= len(data) - offset:
            raise WireError(f"a netlink attribute claims {length} bytes")
        found.append((kind & _TYPE_BITS, data[offset + _ATTRIBUTE.size : offset + length]))
        offset += (length + 3) & ~3
    return found


def decode_u32_untrusted(value: bytes) -> int:
    """The number in an attribute.  Raises WireError."""
    if len(value) != _U32.size:
        raise WireError(f"a netlink number has {len(value)} bytes")
    (number,) = _U32.unpack(value)
    return int(number)


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
