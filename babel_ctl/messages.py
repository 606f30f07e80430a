"""What babeld tells about its interfaces, neighbours and routes: typed records, made when they are looked at.

A *row* is a record as the C reader keeps it: one tuple of integers and packed bytes (``RECORD``, the layout
of ``reader_record`` in ``_native/reader.h``).  A ``Records`` sequence holds rows packed in one bytes object
and makes the frozen dataclasses below only for the rows that somebody looks at.
"""

from __future__ import annotations

import enum
import itertools
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, Final, Generic, TypeVar, overload

RECORD: Final = struct.Struct("=QBBHHBB16s16s16s8s7I4s16s")
"""id, kind, flags, reach, ureach, plen, src_plen, prefix, src, address, router id, metric, refmetric, rxcost,
txcost, cost, rttcost, rtt_us, ipv4, interface name."""
DESTINATION: Final = struct.Struct("=14x34s72x")
"""The key of a destination within a row: plen, src_plen, prefix, src."""
V4_MAPPED: Final = bytes(10) + b"\xff\xff"

# fmt: off
Row = tuple[int, int, int, int, int, int, int, bytes, bytes, bytes, bytes, int, int, int, int, int, int, int,
            bytes, bytes]
# fmt: on
Prefix = IPv6Network | IPv4Network


class Kind(enum.IntEnum):
    """Which table a row belongs to; ``BEST``: the installed route of each destination that can be reached."""

    INTERFACE = 0
    NEIGHBOUR = 1
    XROUTE = 2
    ROUTE = 3
    BEST = 4


class Flag(enum.IntFlag):
    """Yes-or-no fields and optional fields of a row."""

    UP = 1
    INSTALLED = 2
    HAS_RTT = 4
    HAS_IPV6 = 8
    HAS_IPV4 = 16


UP, INSTALLED = int(Flag.UP), int(Flag.INSTALLED)
HAS_RTT, HAS_IPV6, HAS_IPV4 = int(Flag.HAS_RTT), int(Flag.HAS_IPV6), int(Flag.HAS_IPV4)


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface that babeld was told about; key: ``name``."""

    name: str
    up: bool
    ipv6: IPv6Address | None  # link-local, while up
    ipv4: IPv4Address | None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A babel speaker heard on an interface; key: ``id``, babeld's own and valid for its lifetime.

    babeld 1.12 keeps a neighbour for some hellos after its interface was flushed.
    """

    id: int
    address: IPv6Address | IPv4Address
    interface: str
    reach: int  # 16 bits, one per multicast hello, newest first (RFC 8966 §A.1)
    ureach: int  # the same for unicast hellos
    rxcost: int  # 65535: infinite
    txcost: int
    cost: int
    rttcost: int
    rtt_us: int | None  # smoothed; None before the first measurement or without timestamps


@dataclass(frozen=True, slots=True)
class Xroute:
    """A prefix that babeld announces as its own; key: ``prefix`` and ``source``."""

    prefix: Prefix
    source: Prefix  # ::/0 unless source-specific
    metric: int


@dataclass(frozen=True, slots=True)
class Route:
    """A route learned from a neighbour; key: ``id``, babeld's own and valid as long as the route."""

    id: int
    prefix: Prefix
    source: Prefix  # ::/0 unless source-specific
    installed: bool
    router_id: str  # of the announcer, as "02:00:5e:ff:fe:00:00:01"
    metric: int  # 65535: retracted
    refmetric: int  # as the neighbour announced it
    via: IPv6Address | IPv4Address
    interface: str


Record = Interface | Neighbour | Xroute | Route
R_co = TypeVar("R_co", bound=Record, covariant=True)


def _address(packed: bytes) -> IPv6Address | IPv4Address:
    return IPv4Address(packed[12:]) if packed.startswith(V4_MAPPED) else IPv6Address(packed)


def _prefix(packed: bytes, length: int) -> Prefix:
    if length >= 96 and packed.startswith(V4_MAPPED):
        return IPv4Network((packed[12:], length - 96))
    return IPv6Network((packed, length))


def _name(padded: bytes) -> str:
    return padded.rstrip(b"\0").decode("ascii")


def record_of(row: Row) -> Record:
    """Make the typed record of a row."""
    (
        id_, kind, flags, reach, ureach, plen, src_plen, prefix, src, address, router_id,
        metric, refmetric, rxcost, txcost, cost, rttcost, rtt_us, ipv4, ifname,
    ) = row  # fmt: skip
    if kind == Kind.INTERFACE:
        ipv6 = IPv6Address(address) if flags & HAS_IPV6 else None
        return Interface(
            _name(ifname), bool(flags & UP), ipv6, IPv4Address(ipv4) if flags & HAS_IPV4 else None
        )
    if kind == Kind.NEIGHBOUR:
        rtt = rtt_us if flags & HAS_RTT else None
        return Neighbour(
            id_, _address(address), _name(ifname), reach, ureach, rxcost, txcost, cost, rttcost, rtt
        )
    destination, source = _prefix(prefix, plen), _prefix(src, src_plen)
    if kind == Kind.XROUTE:
        return Xroute(destination, source, metric)
    installed = bool(flags & INSTALLED)
    via, name = _address(address), _name(ifname)
    return Route(id_, destination, source, installed, router_id.hex(":"), metric, refmetric, via, name)


class Records(Sequence[R_co]):
    """A snapshot: rows packed one after the other, each made a record when it is looked at."""

    __slots__ = ("_packed",)

    def __init__(self, packed: bytes = b"") -> None:
        self._packed = packed

    def __len__(self) -> int:
        return len(self._packed) // RECORD.size

    @overload
    def __getitem__(self, index: int) -> R_co: ...
    @overload
    def __getitem__(self, index: slice) -> list[R_co]: ...
    def __getitem__(self, index: int | slice) -> R_co | list[R_co]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = RECORD.unpack_from(self._packed, range(len(self))[index] * RECORD.size)
        return record_of(row)  # type: ignore[return-value]  # R_co tells which rows these are

    def __iter__(self) -> Iterator[R_co]:
        rows = RECORD.iter_unpack(self._packed)
        return map(record_of, rows)  # type: ignore[arg-type]  # tuples of the layout

    def __repr__(self) -> str:
        return f"Records({list(self)!r})"


class BestRoutes(Mapping[IPv6Network, Route]):
    """The installed route of each IPv6 destination without source prefix, when the snapshot was taken."""

    __slots__ = ("_index", "_records")

    def __init__(self, packed: bytes = b"") -> None:
        self._records: Records[Route] = Records(packed)
        keys = itertools.chain.from_iterable(DESTINATION.iter_unpack(packed))
        self._index: dict[bytes, int] = dict(zip(keys, range(len(self._records)), strict=True))

    def __getitem__(self, destination: IPv6Network) -> Route:
        key = bytes((destination.prefixlen, 0)) + destination.network_address.packed + bytes(16)
        return self._records[self._index[key]]

    def __iter__(self) -> Iterator[IPv6Network]:
        for key in self._index:
            yield IPv6Network((key[2:18], key[0]))

    def __len__(self) -> int:
        return len(self._index)


@dataclass(frozen=True, slots=True)
class Changes(Generic[R_co]):
    """What changed in one table: the newest value of each key, the last known value of what is gone."""

    changed: Records[R_co]
    removed: Records[R_co]

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed)


@dataclass(frozen=True, slots=True)
class BabelState:
    """The connection to babeld; ``connected`` once the first dump is complete."""

    connected: bool
    version: str  # "babeld-1.12.1"; that of the last babeld while disconnected
    router_id: str | None  # as in ``Route``
    connections: int  # greetings seen so far: grows when babeld was restarted or cut us off
    error: str  # why the last connection ended, "" for end of file


@dataclass(frozen=True, slots=True)
class Delta:
    """All changes since the previous delta, merged per key: what came and went in between is not in it."""

    state: BabelState
    interfaces: Changes[Interface]
    neighbours: Changes[Neighbour]
    xroutes: Changes[Xroute]
    routes: Changes[Route]
    best: Changes[Route]  # per destination, source-specific and IPv4 ones included

    @classmethod
    def unpack(cls, state: BabelState, packed: bytes, counts: Sequence[int]) -> Delta:
        """Build from rows grouped by kind: ``counts[2 * kind]`` changed, ``counts[2 * kind + 1]`` removed."""
        ends = list(itertools.accumulate((count * RECORD.size for count in counts), initial=0))
        groups = [Records[Any](packed[start:end]) for start, end in itertools.pairwise(ends)]
        return cls(state, *(Changes(*groups[2 * kind : 2 * kind + 2]) for kind in Kind))

    def __bool__(self) -> bool:
        return bool(self.interfaces or self.neighbours or self.xroutes or self.routes or self.best)
