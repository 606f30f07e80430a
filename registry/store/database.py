"""The SQLite file: how it is opened, transactions, and errors of the disk.

Write-ahead log with ``synchronous=FULL``: what is committed survives any death, of the process or the power.
Writers take the lock when they begin, so that what they read is still true when they write; several processes
may use one file.  A transaction that fails changes nothing.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from re6st_core.errors import ConfigError
from re6st_core.prefix import Network
from registry.errors import StoreFailedError, StoreFullError
from registry.store import schema
from registry.store.transaction import Transaction

BUSY_S = 5
"""How long to wait for another process's transaction."""


class Database:
    """One file.  Not for several threads at once: all calls come from one."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Open.  Raises ConfigError if there is no such file and ``create`` is not set."""
        if create:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite's other files get the same mode
        elif not path.exists():
            raise ConfigError(f"{path} does not exist: run re6st-registry init first")
        self.path = path
        self._engine = create_engine(
            f"sqlite:///{path}",
            connect_args={"timeout": BUSY_S, "check_same_thread": False},
            poolclass=StaticPool,  # one connection, kept: opening needs room on the disk
        )
        event.listen(self._engine, "connect", _set_up)
        self._writer = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        event.listen(self._writer, "begin", _begin)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction: all or nothing, on the disk when the block is left.

        Raises StoreFullError, StoreFailedError; then nothing has changed.
        """
        with _translated(self.path), self._writer.begin() as connection:
            yield Transaction(connection)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A consistent view.  Raises StoreFailedError."""
        with _translated(self.path), self._engine.begin() as connection:
            yield Transaction(connection)

    def create(self, network: Network) -> None:
        """Make the tables, unless they are there.  Raises ConfigError if they are another network's."""
        with _translated(self.path), self._writer.begin() as connection:
            schema.metadata.create_all(connection)
            if connection.execute(select(schema.registry.c.id)).first() is None:
                Transaction(connection).initialise(network)
        self.check(network)

    def check(self, network: Network) -> None:
        """Raises ConfigError unless this is a database of ours, for this network."""
        try:
            with self.read() as transaction:
                version, stored = transaction.identity()
        except StoreFailedError as exc:
            raise ConfigError(str(exc)) from exc
        if version != schema.VERSION:
            raise ConfigError(f"{self.path} has format {version}, this program needs {schema.VERSION}")
        if stored != str(network):
            raise ConfigError(f"{self.path} belongs to the network {stored}, not {network}")

    def close(self) -> None:
        """Close the file."""
        self._engine.dispose()


def _set_up(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 must not begin transactions by itself
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except DBAPIError as exc:
        raise _store_error(path, exc.orig) from exc
    except sqlite3.Error as exc:  # from _set_up, which SQLAlchemy does not wrap
        raise _store_error(path, exc) from exc


def _store_error(path: Path, exc: BaseException | None) -> Exception:
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreFullError(f"{path}: the disk is full")
    return StoreFailedError(f"{path}: {exc}")
