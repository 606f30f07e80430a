"""Transactions: all or nothing, durable, and what happens on bad disks."""

import os
import resource
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from re6st_core.errors import ConfigError
from re6st_core.prefix import Network
from registry.domain.allocation import allocate
from registry.domain.records import Token
from registry.errors import StoreFailedError, StoreFullError
from registry.store.database import Database
from tests.helpers.registry import NETWORK, now


@contextmanager
def opened(path: Path) -> Iterator[Database]:
    database = Database(path, create=not path.exists())
    try:
        database.create(NETWORK)
        yield database
    finally:
        database.close()


def token(number: int) -> Token:
    return Token(text=f"token {number}", email="x" * 2000, prefix_length=16, created=now())


def sound(path: Path) -> bool:
    connection = sqlite3.connect(path)
    try:
        return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))
    finally:
        connection.close()


def fill(database: Database, expected: type[Exception] | tuple[type[Exception], ...]) -> int:
    """Write until the disk is full; how many writes succeeded."""
    for number in range(1000, 2000):
        try:
            add(database, token(number))
        except expected:
            return number - 1000
    raise AssertionError("the disk never filled")


def add(database: Database, new: Token) -> None:
    with database.write() as transaction:
        transaction.add_token(new)


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    with opened(tmp_path / "db") as database, database.write() as transaction:
        transaction.add_token(token(1))
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert set(modes) == {"db", "db-wal", "db-shm"}
    assert set(modes.values()) == {0o600}


def test_writes_are_synchronous(tmp_path: Path) -> None:
    with opened(tmp_path / "db") as database, database._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_failure_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    class FailureError(Exception):
        pass

    def fail(database: Database) -> None:
        with database.write() as transaction:
            transaction.add_token(token(1))
            allocate(transaction, 16, free_bits=80)
            raise FailureError

    with opened(tmp_path / "db") as database:
        with pytest.raises(FailureError):
            fail(database)
        with database.read() as transaction:
            assert transaction.tokens() == []
            assert len(transaction.blocks()) == 1


def test_creating_again_keeps_what_is_there(tmp_path: Path) -> None:
    with opened(tmp_path / "db") as database, database.write() as transaction:
        transaction.add_token(token(1))
    with opened(tmp_path / "db") as database, database.read() as transaction:
        assert len(transaction.tokens()) == 1


def test_another_network_s_database_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "db") as database, pytest.raises(ConfigError, match="belongs to the network"):
        database.check(Network.parse("2001:db8:43::/48"))


def test_a_newer_program_s_database_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "db") as database:
        connection = sqlite3.connect(tmp_path / "db")
        connection.execute("UPDATE registry SET schema_version = 99")
        connection.commit()
        connection.close()
        with pytest.raises(ConfigError, match="has format 99"):
            database.check(NETWORK)


@pytest.mark.parametrize("content", [b"not a database " * 1000, b""])
def test_what_is_no_database_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "db").write_bytes(content)
    database = Database(tmp_path / "db")
    with pytest.raises(ConfigError):
        database.check(NETWORK)
    database.close()


def test_a_missing_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="run re6st-registry init first"):
        Database(tmp_path / "db")


def test_two_writers_wait_for_each_other_and_never_overlap(tmp_path: Path) -> None:
    with opened(tmp_path / "db"):
        taken = []

        def work() -> None:
            database = Database(tmp_path / "db")
            for _ in range(15):
                with database.write() as transaction:
                    taken.append(allocate(transaction, 16, free_bits=80))
            database.close()

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set(taken)) == 45


def test_a_writer_that_never_ends_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.store.database.BUSY_S", 0.1)
    with opened(tmp_path / "db") as ours, opened(tmp_path / "db") as theirs, theirs.write():
        with pytest.raises(StoreFailedError, match="locked"), ours.write():
            pass
        with ours.read() as transaction:  # readers do not wait
            assert transaction.tokens() == []


def test_a_full_disk_fails_the_request_and_keeps_the_database_sound(tmp_path: Path) -> None:
    path = tmp_path / "db"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(path) as database:
        with database.write() as transaction:
            transaction.add_token(token(0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.stat(path).st_size + 40000, limits[1]))
        written = 1
        try:
            written += fill(database, (StoreFullError, StoreFailedError))
            with database.read() as transaction:
                assert len(transaction.tokens()) == written
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        with database.write() as transaction:  # there is room again
            transaction.add_token(token(written))
            assert len(transaction.tokens()) == written + 1
    assert sound(path)


@pytest.mark.root
def test_a_really_full_disk_is_told_apart(tmp_path: Path) -> None:
    with mounted(tmp_path, "size=400k"):
        with opened(tmp_path / "db") as database:
            written = fill(database, StoreFullError)
            with database.read() as transaction:
                assert len(transaction.tokens()) == written > 10
        assert sound(tmp_path / "db")


@pytest.mark.root
def test_a_disk_that_turns_read_only_fails_the_request(tmp_path: Path) -> None:
    with mounted(tmp_path, "size=4m"):
        with opened(tmp_path / "db") as database, database.write() as transaction:
            transaction.add_token(token(1))
        subprocess.run(["mount", "-o", "remount,ro", tmp_path], check=True)
        database = Database(tmp_path / "db")
        with pytest.raises(StoreFailedError):
            add(database, token(2))
        database.close()
        subprocess.run(["mount", "-o", "remount,rw", tmp_path], check=True)
        with opened(tmp_path / "db") as database, database.read() as transaction:
            assert len(transaction.tokens()) == 1


@contextmanager
def mounted(path: Path, options: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)
