"""The node's memory across restarts: one SQLite file in the state directory, and its lock.

A tunnel is saved before the kernel is touched and forgotten after it is removed, so that whatever a killed
daemon leaves is known to the next one.  Losing this file costs time, never connectivity: writing errors are
logged and the node goes on.
"""

import contextlib
import fcntl
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from re6st_core.address import Endpoint, decode_endpoints_untrusted, format_endpoints
from re6st_core.errors import ConfigError, WireError
from re6st_core.json_wire import decode_json_untrusted, encode_json
from re6st_core.prefix import Prefix
from re6stnet.ports import SavedTunnel

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE tunnel (nonce TEXT PRIMARY KEY, saved BLOB NOT NULL);       -- SavedTunnel, JSON
CREATE TABLE peer (prefix TEXT PRIMARY KEY, endpoints TEXT NOT NULL);    -- CN; IP,PORT,PROTO;...
CREATE TABLE value (name TEXT PRIMARY KEY, value BLOB NOT NULL);         -- parameters and the like
"""


class SqliteStore:
    """Opened by exactly one daemon at a time."""

    def __init__(self, directory: Path) -> None:
        """Open or create.  Raises ConfigError if another daemon has it, or the directory is unusable."""
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise ConfigError(f"state directory {directory}: {exc.strerror}") from exc
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._lock)
            raise ConfigError(
                f"another re6stnet (pid {holder}) uses the state directory {directory}"
            ) from exc
        try:
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        except OSError as exc:  # a full disk: the lock itself holds, only the pid is missing
            log.warning("cannot write %s: %s", directory / "lock", exc)
        self._path = directory / "node.db"
        self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            return self._checked(self._path)
        except sqlite3.OperationalError as exc:  # full, read-only, I/O error: the content may be sound
            log.warning("%s cannot be opened (%s): nothing will be remembered", self._path, exc)
            return self._checked(":memory:")
        except sqlite3.DatabaseError as exc:
            log.warning("%s is damaged (%s): set aside, starting with an empty one", self._path, exc)
        try:
            for suffix in ("", "-wal", "-shm"):
                path = self._path.with_name(self._path.name + suffix)
                if path.exists():
                    path.replace(path.with_name(path.name + ".bad"))
            return self._checked(self._path)
        except (OSError, sqlite3.Error) as exc:
            log.warning("%s cannot be written (%s): nothing will be remembered", self._path, exc)
            return self._checked(":memory:")

    def _read(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """Rows; none, and a warning, if the file cannot be read."""
        try:
            return self._db.execute(query, values).fetchall()
        except sqlite3.Error as exc:
            log.warning("cannot read %s: %s", self._path, exc)
            return []

    @staticmethod
    def _checked(path: Path | str) -> sqlite3.Connection:
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            db.close()
            raise sqlite3.DatabaseError(f"schema version {version}, not {SCHEMA_VERSION}")
        return db

    def close(self) -> None:
        """Close the file and let another daemon have it."""
        self._db.close()
        os.close(self._lock)

    @contextlib.contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            log.warning("cannot remember %s in %s: %s", what, self._path, exc)

    def save_tunnel(self, tunnel: SavedTunnel) -> None:
        """Remember a tunnel, replacing what was known of it."""
        with self._writing("a tunnel"):
            row = (tunnel.record.tunnel, encode_json(tunnel))
            self._db.execute("INSERT OR REPLACE INTO tunnel VALUES (?, ?)", row)

    def forget_tunnel(self, nonce: str) -> None:
        """The tunnel is gone."""
        with self._writing("the end of a tunnel"):
            self._db.execute("DELETE FROM tunnel WHERE nonce = ?", (nonce,))

    def tunnels(self) -> list[SavedTunnel]:
        """All remembered tunnels; unreadable ones are left out."""
        found = []
        for (data,) in self._read("SELECT saved FROM tunnel"):
            try:
                found.append(decode_json_untrusted(SavedTunnel, data))
            except WireError as exc:
                log.warning("a saved tunnel is unreadable: %s", exc)
        return found

    def save_peers(self, peers: Iterable[tuple[Prefix, tuple[Endpoint, ...]]]) -> None:
        """Replace the cache of peers."""
        with self._writing("peers"):
            rows = [(prefix.cn, format_endpoints(endpoints)) for prefix, endpoints in peers]
            self._db.execute("BEGIN")
            try:
                self._db.execute("DELETE FROM peer")
                self._db.executemany("INSERT INTO peer VALUES (?, ?)", rows)
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def peers(self) -> list[tuple[Prefix, tuple[Endpoint, ...]]]:
        """The cache of peers; unreadable ones are left out."""
        found = []
        for prefix, endpoints in self._read("SELECT prefix, endpoints FROM peer"):
            try:
                found.append((Prefix.from_cn(prefix), decode_endpoints_untrusted(endpoints)))
            except WireError as exc:
                log.warning("a cached peer is unreadable: %s", exc)
        return found

    def save_value(self, name: str, value: bytes) -> None:
        """Remember one named value."""
        with self._writing(name):
            self._db.execute("INSERT OR REPLACE INTO value VALUES (?, ?)", (name, value))

    def value(self, name: str) -> bytes | None:
        """A named value, None if it was never saved."""
        rows = self._read("SELECT value FROM value WHERE name = ?", name)
        return bytes(rows[0][0]) if rows else None
