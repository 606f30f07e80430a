"""The text of babeld's local interface, bytes in, events out: the reference of ``_native/parse.c``.

    stream    = greeting *( record / answer )              lines end with "\\n", at most 1023 bytes before it
    greeting  = "BABEL 1." number, "version" text, "my-id" router-id, other lines in any order, "ok"
    record    = ("add" / "change" / "flush") SP kind SP id *( SP key SP value )
    kind      = "interface" / "neighbour" / "xroute" / "route"          records of other kinds are ignored
    answer    = "ok" / "done" / "no" [ SP text ] / "bad"

Keys may come in any order; unknown ones are ignored and the last of a key counts, so that later babelds may
tell more. babeld 1.12 keeps a neighbour for a while after its interface was freed and prints whatever is in
that memory now: a neighbour or route whose interface has no valid name is a removal, not an error.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from enum import Enum
from typing import Final

from babel_ctl.messages import HAS_IPV4, HAS_IPV6, HAS_RTT, INSTALLED, UP, V4_MAPPED, Kind, Row
from re6st_core.errors import WireError

MAX_LINE: Final = 1023
MAX_WORDS: Final = 51
MAX_MESSAGE: Final = 103

KINDS: Final = {
    b"interface": Kind.INTERFACE,
    b"neighbour": Kind.NEIGHBOUR,
    b"xroute": Kind.XROUTE,
    b"route": Kind.ROUTE,
}
ACTIONS: Final = (b"add", b"change", b"flush")
_ROUTER_ID = re.compile(rb"[0-9a-f]{2}(?::[0-9a-f]{2}){7}")
_RTT = re.compile(rb"([0-9]{1,10})\.([0-9]{3})")
_NUMBER = re.compile(rb"[0-9]{1,10}")
_HEX = re.compile(rb"[0-9a-f]{1,16}")
_NAME = re.compile(rb"[!-.0-~]{1,15}")
_NO_NAME: Final = bytes(16)
_ZERO: Final = bytes(16)
_NO_ID: Final = bytes(8)
_NO_IPV4: Final = bytes(4)


class Status(Enum):
    """How babeld answered a command; ``LOST``: the connection ended first."""

    OK = 0
    NO = 1
    BAD = 2
    LOST = 3


@dataclass(frozen=True, slots=True)
class Greeted:
    """The greeting is complete."""

    version: str
    router_id: bytes


@dataclass(frozen=True, slots=True)
class Put:
    """A record is new or has new values."""

    row: Row


@dataclass(frozen=True, slots=True)
class Remove:
    """A record is gone; only the key of the row counts."""

    row: Row


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to the command sent first among those not answered."""

    status: Status
    message: str = ""


Event = Greeted | Put | Remove | Answered
_Fields = dict[bytes, bytes]


class _InvalidError(Exception):
    """A field is not what it should be."""


def _number(text: bytes) -> int:
    if not _NUMBER.fullmatch(text) or (value := int(text)) > 0xFFFFFFFF:
        raise _InvalidError
    return value


def _hex(text: bytes, digits: int) -> int:
    if len(text) > digits or not _HEX.fullmatch(text):
        raise _InvalidError
    return int(text, 16)


def _router_id(text: bytes) -> bytes:
    if not _ROUTER_ID.fullmatch(text):
        raise _InvalidError
    return bytes.fromhex(text.decode().replace(":", ""))


def _rtt_us(text: bytes) -> int:
    match = _RTT.fullmatch(text)
    if not match or (value := int(match[1]) * 1000 + int(match[2])) > 0xFFFFFFFF:
        raise _InvalidError
    return value


def _address(text: bytes) -> tuple[bytes, int]:
    """Return 16 packed bytes, IPv4 as v4-mapped, and the family, 4 or 6."""
    if len(text) >= 46:
        raise _InvalidError
    try:
        word = text.decode("ascii")
        if ":" in word:
            return socket.inet_pton(socket.AF_INET6, word), 6
        return V4_MAPPED + socket.inet_pton(socket.AF_INET, word), 4
    except (OSError, ValueError):
        raise _InvalidError from None


def _prefix(text: bytes) -> tuple[bytes, int]:
    address, slash, digits = text.partition(b"/")
    if not slash or len(digits) > 3:
        raise _InvalidError
    packed, family = _address(address)
    length = _number(digits)
    if length > (32 if family == 4 else 128):
        raise _InvalidError
    if family == 4:
        length += 96
    if int.from_bytes(packed) & ((1 << (128 - length)) - 1):
        raise _InvalidError
    return packed, length


def _flag(text: bytes, yes: bytes, no: bytes, flag: int) -> int:
    if text not in (yes, no):
        raise _InvalidError
    return flag if text == yes else 0


def _interface(id_: bytes, fields: _Fields) -> Row:
    if not _NAME.fullmatch(id_):
        raise _InvalidError
    flags = _flag(fields.get(b"up", b""), b"true", b"false", UP)
    address, ipv4 = _ZERO, _NO_IPV4
    if text := fields.get(b"ipv6"):
        address, family = _address(text)
        flags |= HAS_IPV6
        if family != 6:
            raise _InvalidError
    if text := fields.get(b"ipv4"):
        mapped, family = _address(text)
        ipv4 = mapped[12:]
        flags |= HAS_IPV4
        if family != 4:
            raise _InvalidError
    name = id_.ljust(16, b"\0")
    return (0, 0, flags, 0, 0, 0, 0, _ZERO, _ZERO, address, _NO_ID, 0, 0, 0, 0, 0, 0, 0, ipv4, name)


def _neighbour(id_: bytes, fields: _Fields, name: bytes) -> Row:
    get = fields.get
    key, (address, _) = _hex(id_, 16), _address(get(b"address", b""))
    reach, ureach = _hex(get(b"reach", b""), 4), _hex(get(b"ureach") or b"0", 4)
    rxcost, txcost = _number(get(b"rxcost", b"")), _number(get(b"txcost", b""))
    cost, rttcost = _number(get(b"cost", b"")), _number(get(b"rttcost") or b"0")
    rtt = get(b"rtt")
    rtt_us, flags = (_rtt_us(rtt), HAS_RTT) if rtt else (0, 0)
    return (
        key, 1, flags, reach, ureach, 0, 0, _ZERO, _ZERO, address, _NO_ID,
        0, 0, rxcost, txcost, cost, rttcost, rtt_us, _NO_IPV4, name,
    )  # fmt: skip


def _xroute(fields: _Fields) -> Row:
    get = fields.get
    (prefix, plen), (src, src_plen) = _prefix(get(b"prefix", b"")), _prefix(get(b"from", b""))
    metric = _number(get(b"metric", b""))
    return (
        0, 2, 0, 0, 0, plen, src_plen, prefix, src, _ZERO, _NO_ID, metric, 0, 0, 0, 0, 0, 0, _NO_IPV4,
        _NO_NAME,
    )  # fmt: skip


def _route(id_: bytes, fields: _Fields, name: bytes) -> Row:
    get = fields.get
    key = _hex(id_, 16)
    (prefix, plen), (src, src_plen) = _prefix(get(b"prefix", b"")), _prefix(get(b"from", b""))
    flags = _flag(get(b"installed", b""), b"yes", b"no", INSTALLED)
    metric, refmetric = _number(get(b"metric", b"")), _number(get(b"refmetric", b""))
    router_id, (via, _) = _router_id(get(b"id", b"")), _address(get(b"via", b""))
    return (
        key, 3, flags, 0, 0, plen, src_plen, prefix, src, via, router_id,
        metric, refmetric, 0, 0, 0, 0, 0, _NO_IPV4, name,
    )  # fmt: skip


def decode_record_untrusted(line: bytes) -> Put | Remove | None:
    """Decode an add, change or flush line; None for a kind that is not ours; raises WireError."""
    words = line.split(b" ")
    if len(words) > MAX_WORDS:
        raise WireError(f"bad record: {line[:63]!r}")
    kind = KINDS.get(words[1])
    if kind is None:
        return None
    if len(words) < 3 or len(words) % 2 == 0:
        raise WireError(f"bad record: {line[:63]!r}")
    fields = dict(zip(words[3::2], words[4::2], strict=True))
    interface = fields.get(b"if", b"")
    named = bool(_NAME.fullmatch(interface))
    name = interface.ljust(16, b"\0") if named else _NO_NAME
    try:
        if kind is Kind.ROUTE:
            row = _route(words[2], fields, name)
        elif kind is Kind.NEIGHBOUR:
            row = _neighbour(words[2], fields, name)
        elif kind is Kind.INTERFACE:
            row, named = _interface(words[2], fields), True
        else:
            row, named = _xroute(fields), True
    except _InvalidError:
        raise WireError(f"bad record: {line[:63]!r}") from None
    return Put(row) if named and words[0] != b"flush" else Remove(row)


class Decoder:
    """One connection's bytes from babeld; after a WireError it must not be fed again."""

    def __init__(self) -> None:
        self._rest = b""
        self._greeted = self._live = False
        self._version = ""
        self._router_id: bytes | None = None

    def feed_untrusted(self, data: bytes) -> list[Event]:
        """Return the events that these bytes complete; the events before a WireError are in ``partial``."""
        events: list[Event] = []
        self.partial = events
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if len(line) > MAX_LINE:
                raise WireError("line too long")
            event = self._line(line)
            if event is not None:
                events.append(event)
        if len(self._rest) > MAX_LINE:
            raise WireError("line too long")
        return events

    def _line(self, line: bytes) -> Event | None:
        if not self._live:
            return self._header(line)
        action, _, rest = line.partition(b" ")
        if action in ACTIONS and rest:
            return decode_record_untrusted(line)
        if line in (b"ok", b"done"):
            return Answered(Status.OK)
        if line == b"no" or (line.startswith(b"no ") and len(line) > 3):
            message = line[3 : 3 + MAX_MESSAGE].partition(b"\0")[0]
            return Answered(Status.NO, message.decode("ascii", "replace"))
        if line == b"bad":
            return Answered(Status.BAD)
        raise WireError(f"unexpected line: {line[:63]!r}")

    def _header(self, line: bytes) -> Greeted | None:
        try:
            if not self._greeted:
                if not line.startswith(b"BABEL 1."):
                    raise _InvalidError
                _number(line[8:])
                self._greeted = True
            elif line.startswith(b"version ") and len(line) > 8:
                self._version = "".join(chr(c) if 32 <= c <= 126 else "?" for c in line[8:71])
            elif line.startswith(b"my-id ") and len(line) > 6:
                self._router_id = _router_id(line[6:])
        except _InvalidError:
            raise WireError(f"not babeld's greeting: {line[:63]!r}") from None
        if line == b"ok" and self._greeted:
            if self._router_id is None:
                raise WireError("greeting without a router id")
            self._live = True
            return Greeted(self._version, self._router_id)
        return None
