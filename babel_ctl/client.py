"""Asyncio client of babeld's control socket; a C thread reads it, so that babeld never waits for Python.

      babeld --socket--> C thread: parse, tables, changes --eventfd--> event loop: wait_delta(), answers
                           ^            |
        commands ----------+            +-- snapshots: interfaces(), routes(), best_routes() ...

babeld blocks for at most 100 ms on a slow client, then cuts it off, and routes nothing meanwhile.  The thread
takes no lock that Python may hold for long (copying a table at most) and never the GIL.  It reconnects by
itself when babeld was restarted: the tables are emptied, which is a delta, and filled again from the new
dump, which is another.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from ipaddress import IPv6Network
from pathlib import Path
from typing import Any, Final, TypeVar

from babel_ctl._native._reader import ffi, lib
from babel_ctl.config import InterfaceParameters, check_name, key_statement
from babel_ctl.errors import NoAnswerError, RouterError
from babel_ctl.messages import (
    RECORD,
    BabelState,
    BestRoutes,
    Delta,
    Interface,
    Kind,
    Neighbour,
    Record,
    Records,
    Route,
    Xroute,
)

MAX_ENTRIES: Final = 1_000_000
"""Bound of all tables together; far above any mesh, and 250 MB of memory if a mad babeld fills it."""
COMMAND_TIMEOUT_S: Final = 5.0
"""babeld answers a command within its next turn; one that takes so long is stopped or stuck."""
_R = TypeVar("_R", bound=Record)
_Sequence = Records[_R]


class BabelClient:
    """Connection to one babeld; survives its restarts.  To be used by one event loop, deltas by one task."""

    def __init__(
        self, path: Path, *, max_entries: int = MAX_ENTRIES, command_timeout_s: float = COMMAND_TIMEOUT_S
    ) -> None:
        self.path = path
        self._command_timeout_s = command_timeout_s
        self._reader: Any = lib.reader_new(max_entries)
        if self._reader == ffi.NULL:
            raise MemoryError
        self._event_fd = -1
        self._changed = asyncio.Event()
        self._answers: dict[int, asyncio.Future[None]] = {}  # until answered, waited for or not
        self._next_tag = 0
        self._cache: dict[Kind, tuple[int, bytes]] = {}
        self._best: tuple[int, BestRoutes] = (-1, BestRoutes())
        self._status: Any = ffi.new("reader_status *")
        self._told = self.state
        self._listeners: list[Callable[[], None]] = []

    @classmethod
    async def connect(cls, path: Path, *, timeout_s: float = 5.0) -> BabelClient:
        """Connect and wait until the first dump is complete.

        Raises RouterError when that does not happen within ``timeout_s`` (the socket need not exist at first,
        its directory must).
        """
        client = cls(path)
        try:
            client.start()
            await client.wait_connected(timeout_s)
        except BaseException:
            client.close()
            raise
        return client

    def start(self) -> None:
        """Start the thread, do not wait for babeld; RouterError when the directory cannot be watched."""
        self._event_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        error = lib.reader_start(self._reader, os.fsencode(self.path), self._event_fd)
        if error:
            raise RouterError(f"cannot watch for babeld's socket {self.path}: {os.strerror(error)}")
        asyncio.get_running_loop().add_reader(self._event_fd, self._on_event)

    def close(self) -> None:
        """Stop the thread and free everything; commands without an answer raise RouterError."""
        if self._reader is None:
            return
        if self._event_fd >= 0:
            asyncio.get_running_loop().remove_reader(self._event_fd)
        self._told = self.state
        lib.reader_free(self._reader)
        self._reader = None
        if self._event_fd >= 0:
            os.close(self._event_fd)
        for future in self._answers.values():
            if not future.done():
                _fail(future, "connection to babeld closed")
        self._answers.clear()
        self._changed.set()

    @property
    def state(self) -> BabelState:
        """The connection as it is now; after ``close`` always disconnected."""
        if self._reader is None:
            told = self._told
            return BabelState(False, told.version, told.router_id, told.connections, "closed")
        return self._read_state()

    def _read_state(self) -> BabelState:
        status = self._status
        lib.reader_get_status(self._reader, status)
        router_id = bytes(ffi.buffer(status.router_id))
        return BabelState(
            connected=status.phase == lib.R_SYNCED,
            version=ffi.string(status.version).decode("ascii"),
            router_id=router_id.hex(":") if any(router_id) else None,
            connections=status.connections,
            error=ffi.string(status.error).decode("ascii"),
        )

    def _on_event(self) -> None:
        os.eventfd_read(self._event_fd)
        answer = ffi.new("reader_answer *")
        while lib.reader_answer_next(self._reader, answer):
            future = self._answers.pop(answer.tag, None)
            if future is None or future.done():
                continue
            if answer.status == lib.ANSWER_OK:
                future.set_result(None)
            else:
                words = {lib.ANSWER_NO: "refuses", lib.ANSWER_BAD: "does not understand"}
                text = words.get(answer.status, "went away before answering")
                message = ffi.string(answer.message).decode("ascii", "replace")
                _fail(future, f"babeld {text}{': ' if message else ''}{message}")
        self._changed.set()
        for listener in self._listeners:
            listener()

    def add_listener(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` in the loop after any news: for those who look at tables and need no deltas."""
        self._listeners.append(listener)

    async def wait_connected(self, timeout_s: float) -> None:
        """Wait until the first dump of the current babeld is complete, or raise RouterError."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.state.connected:
                    if self._reader is None:
                        raise RouterError("connection to babeld closed")
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            reason = self.state.error
            raise RouterError(
                f"babeld did not answer on {self.path} within {timeout_s:g} s{': ' if reason else ''}{reason}"
            ) from None
        finally:
            self._changed.set()  # what arrived meanwhile is news to wait_delta()

    async def wait_delta(self) -> Delta:
        """Wait for changes and return them, merged per key; an empty delta tells a change of ``state`` only.

        Raises RouterError once the client is closed.
        """
        while True:
            if self._reader is None:
                raise RouterError("connection to babeld closed")
            self._changed.clear()
            delta = self.take_delta()
            if delta or delta.state != self._told:
                self._told = delta.state
                return delta
            await self._changed.wait()

    def take_delta(self) -> Delta:
        """Return the changes since the last delta at once, maybe none."""
        records, counts = ffi.new("reader_record **"), ffi.new("int64_t[10]")
        if lib.reader_take(self._reader, records, counts) != 0:
            raise MemoryError
        sizes = list(counts)
        try:
            packed = bytes(ffi.buffer(records[0], sum(sizes) * RECORD.size))
        finally:
            lib.reader_release(records[0])
        return Delta.unpack(self.state, packed, sizes)

    def _snapshot(self, kind: Kind) -> tuple[int, bytes]:
        if self._reader is None:
            return -1, b""
        lib.reader_get_status(self._reader, self._status)
        cached = self._cache.get(kind)
        if cached and cached[0] == self._status.versions[kind]:
            return cached
        count, version = ffi.new("int64_t *"), ffi.new("uint64_t *")
        records = lib.reader_snapshot(self._reader, kind, count, version)
        if count[0] < 0:
            raise MemoryError
        try:
            packed = bytes(ffi.buffer(records, count[0] * RECORD.size)) if count[0] else b""
        finally:
            lib.reader_release(records)
        self._cache[kind] = (version[0], packed)
        return self._cache[kind]

    def interfaces(self) -> Records[Interface]:
        """babeld's interfaces now."""
        return Records(self._snapshot(Kind.INTERFACE)[1])

    def neighbours(self) -> Records[Neighbour]:
        """babeld's neighbours now."""
        return Records(self._snapshot(Kind.NEIGHBOUR)[1])

    def xroutes(self) -> Records[Xroute]:
        """The prefixes babeld announces as its own."""
        return Records(self._snapshot(Kind.XROUTE)[1])

    def routes(self) -> Records[Route]:
        """All routes, feasible or not, installed or not."""
        return Records(self._snapshot(Kind.ROUTE)[1])

    def best_routes(self) -> Mapping[IPv6Network, Route]:
        """The installed, reachable route of each IPv6 destination, without source-specific ones."""
        version, packed = self._snapshot(Kind.BEST)
        if self._best[0] != version:
            self._best = (version, BestRoutes(packed))
        return self._best[1]

    async def command(self, line: str, *, shown: str | None = None) -> None:
        """Send one line of configuration; return when babeld said ok, raise RouterError otherwise.

        NoAnswerError when that takes longer than ``command_timeout_s``; babeld executes the command if
        it ever goes on, and ``wait_answered`` waits for that.  ``shown``: what errors say in its place.
        """
        shown = repr(line) if shown is None else shown
        if self._reader is None:
            raise RouterError("connection to babeld closed")
        if "\n" in line or "\0" in line:
            raise RouterError(f"command with a line break: {shown}")
        self._next_tag += 1
        tag = self._next_tag
        if lib.reader_command(self._reader, line.encode(), tag) != 0:
            raise RouterError(f"not connected to babeld, or too many commands: {shown}")
        future = self._answers[tag] = asyncio.get_running_loop().create_future()
        await asyncio.wait((future,), timeout=self._command_timeout_s)
        if not future.done():
            raise NoAnswerError(f"babeld did not answer within {self._command_timeout_s:g} s ({shown})")
        try:
            future.result()
        except RouterError as exc:
            raise RouterError(f"{exc} ({shown})") from exc

    async def wait_answered(self) -> None:
        """Wait until every command sent so far is answered, ok or not, or its connection has ended."""
        if self._answers:
            await asyncio.wait(list(self._answers.values()))

    async def add_interface(self, name: str, parameters: InterfaceParameters) -> None:
        """Let babeld speak on an interface, which need not exist yet.

        babeld ignores the parameters of an interface it has: flush it first to change them.  Raises
        RouterError, and ConfigError on a malformed name.
        """
        await self.command(parameters.statement(name))

    async def set_key(self, name: str, secret: bytes) -> None:
        """Define a key for interfaces, or change it at once on all that use it.  Raises as ``command``."""
        await self.command(key_statement(name, secret), shown=f"key {name}")

    async def flush_interface(self, name: str) -> None:
        """Make babeld forget an interface and its routes at once; RouterError when it has no such one."""
        await self.command(f"flush interface {check_name(name)}")


def _fail(future: asyncio.Future[None], text: str) -> None:
    future.set_exception(RouterError(text))
    future.exception()  # looked at: after a time-out nobody else does
