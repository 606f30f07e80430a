"""One connection to babeld and the tables it fills, pure: the plain-Python reference of ``_native/tables.c``.

    GREETING --greeting--> DUMPING (monitor sent) --ok--> SYNCED

The programs use the C reader, which does the same in a thread of its own; tests hold it to this module, and
the benchmark compares it with this module.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from babel_ctl.codec import Answered, Decoder, Greeted, Put, Remove, Status
from babel_ctl.messages import INSTALLED, RECORD, Kind, Row
from re6st_core.errors import WireError

Key = bytes | int | tuple[int, int, bytes, bytes]
MONITOR: Final = b"monitor\n"
MAX_COMMANDS: Final = 64
INFINITY: Final = 65535
# Positions in a row.
_ID: Final = 0
_KIND: Final = 1
_FLAGS: Final = 2
_METRIC: Final = 11
_NAME: Final = 19


class Phase(Enum):
    """How far the connection is."""

    DISCONNECTED = 0
    GREETING = 1
    DUMPING = 2
    SYNCED = 3


def key_of(row: Row) -> Key:
    """Return what identifies a row within its kind."""
    kind = row[_KIND]
    if kind == Kind.INTERFACE:
        return row[_NAME]
    if kind in (Kind.NEIGHBOUR, Kind.ROUTE):
        return row[_ID]
    return row[5:9]


def is_usable(row: Row) -> bool:
    """Whether packets follow this route: babeld keeps a retracted one installed for a while."""
    return bool(row[_FLAGS] & INSTALLED) and row[_METRIC] < INFINITY


class Tables:
    """Current rows of each kind, and what changed since the last ``take``, merged per key."""

    def __init__(self, max_entries: int) -> None:
        self.live: dict[Kind, dict[Key, Row]] = {kind: {} for kind in Kind}
        self._max_entries = max_entries
        self._known: dict[Kind, dict[Key, Row]] = {kind: {} for kind in Kind}  # last value, once taken
        self._dirty: dict[tuple[Kind, Key], None] = {}
        self._installed: dict[Key, dict[int, Row]] = {}  # of each destination
        self._entries = 0

    def put(self, row: Row) -> None:
        """Add or change a row; raises WireError when the tables would exceed their bound."""
        kind, key = Kind(row[_KIND]), key_of(row)
        old = self.live[kind].get(key)
        if old == row:
            return
        self._set(kind, key, row)
        if kind is Kind.ROUTE:
            if old is not None and is_usable(old) and (not is_usable(row) or old[5:9] != row[5:9]):
                self._uninstall(old)
            if is_usable(row):
                self._installed.setdefault(row[5:9], {})[row[_ID]] = row
                self._choose(row[5:9])

    def remove(self, row: Row) -> None:
        """Forget the row with this key, if there is one."""
        kind, key = Kind(row[_KIND]), key_of(row)
        old = self.live[kind].get(key)
        if old is None:
            return
        if kind is Kind.ROUTE and is_usable(old):
            self._uninstall(old)
        self._unset(kind, key)

    def clear(self) -> None:
        """Forget all rows, the newest first: the connection ended.

        The order decides which row is the last known one of a destination with two installed routes.
        """
        for kind in Kind:
            if kind is not Kind.BEST:
                for row in reversed(list(self.live[kind].values())):
                    self.remove(row)

    def take(self) -> dict[Kind, tuple[list[Row], list[Row]]]:
        """Return the changed and the removed rows of each kind since the last call."""
        out: dict[Kind, tuple[list[Row], list[Row]]] = {kind: ([], []) for kind in Kind}
        for kind, key in self._dirty:
            row = self.live[kind].get(key)
            if row is not None:
                out[kind][0].append(row)
                self._known[kind][key] = row
            else:
                out[kind][1].append(self._known[kind].pop(key))
                self._entries -= 1
        self._dirty.clear()
        return out

    def _set(self, kind: Kind, key: Key, row: Row) -> None:
        table = self.live[kind]
        if key not in table and key not in self._known[kind]:
            if self._entries >= self._max_entries:
                raise WireError("more entries than allowed")
            self._entries += 1
        table[key] = row
        if key in self._known[kind]:
            self._known[kind][key] = row
        self._dirty[kind, key] = None

    def _unset(self, kind: Kind, key: Key) -> None:
        if self.live[kind].pop(key, None) is None:
            return  # the best route of a destination that did not fit any more
        if key in self._known[kind]:
            self._dirty[kind, key] = None
        else:
            self._dirty.pop((kind, key), None)
            self._entries -= 1

    def _uninstall(self, row: Row) -> None:
        destination = row[5:9]
        del self._installed[destination][row[_ID]]
        self._choose(destination)

    def _choose(self, destination: Key) -> None:
        installed = self._installed[destination]
        if not installed:
            del self._installed[destination]
            self._unset(Kind.BEST, destination)
            return
        if len(installed) == 1:
            (best,) = installed.values()
        else:
            best = min(installed.values(), key=lambda row: (row[_METRIC], row[_ID]))
        row = (best[0], int(Kind.BEST), *best[2:])
        if self.live[Kind.BEST].get(destination) != row:
            self._set(Kind.BEST, destination, row)


class Connection:
    """Bytes from babeld in; tables, answers, and bytes for babeld out."""

    def __init__(self, max_entries: int = 1_000_000) -> None:
        self.tables = Tables(max_entries)
        self.phase = Phase.DISCONNECTED
        self.connections = 0
        self.answers: list[tuple[int, Status, str]] = []
        self.version = ""
        self.router_id = bytes(8)
        self._decoder = Decoder()
        self._tags: list[int] = []

    def command(self, tag: int) -> bool:
        """Note that a line was sent; its answer will appear in ``answers``. False when that can't be now."""
        if self.phase is not Phase.SYNCED or len(self._tags) + len(self.answers) >= MAX_COMMANDS:
            return False
        self._tags.append(tag)
        return True

    def feed_untrusted(self, data: bytes) -> bytes:
        """Take bytes from babeld; return bytes to send to it.

        Raises WireError on anything that babeld does not say; the connection is then reset.
        """
        if self.phase is Phase.DISCONNECTED:
            self.phase = Phase.GREETING
        before = self.phase
        try:
            try:
                events = self._decoder.feed_untrusted(data)
            except WireError:
                self._apply(self._decoder.partial)
                raise
            self._apply(events)
        except WireError:
            self.reset()
            raise
        return MONITOR if before is Phase.GREETING and self.phase is not Phase.GREETING else b""

    def reset(self) -> None:
        """End of the connection: tables emptied, commands lost."""
        self.tables.clear()
        self.answers += [(tag, Status.LOST, "") for tag in self._tags]
        self._tags.clear()
        self._decoder = Decoder()
        self.phase = Phase.DISCONNECTED

    def _apply(self, events: list[Greeted | Put | Remove | Answered]) -> None:
        for event in events:
            if type(event) is Put:
                self.tables.put(event.row)
            elif type(event) is Remove:
                self.tables.remove(event.row)
            elif type(event) is Answered:
                self._answer(event)
            elif type(event) is Greeted:
                self.phase = Phase.DUMPING
                self.connections += 1
                self.version, self.router_id = event.version, event.router_id

    def _answer(self, event: Answered) -> None:
        if self.phase is Phase.DUMPING:
            if event.status is not Status.OK:
                raise WireError(f"babeld refuses to be monitored: {event.message}")
            self.phase = Phase.SYNCED
        elif self._tags:
            self.answers.append((self._tags.pop(0), event.status, event.message))
        else:
            raise WireError("answer without a command")


def pack(rows: list[Row]) -> bytes:
    """Pack rows as the C reader hands them out."""
    return b"".join(RECORD.pack(*row) for row in rows)
