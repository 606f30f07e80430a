"""The database itself refuses what must never be."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.store import schema
from registry.store.database import Database
from tests.helpers.registry import NETWORK


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """Another program's connection to a new database."""
    path: Path = tmp_path_factory.mktemp("db") / "db"
    database = Database(path, create=True)
    database.create(NETWORK)
    database.close()
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


@given(st.lists(st.text("01", max_size=6), max_size=12))
def test_no_block_inside_another_whoever_writes(raw: sqlite3.Connection, blocks: list[str]) -> None:
    raw.execute("BEGIN")
    raw.execute("DELETE FROM space")
    stored: list[str] = []
    for bits in blocks:
        overlaps = any(bits.startswith(other) or other.startswith(bits) for other in stored)
        try:
            raw.execute("INSERT INTO space VALUES (?, ?, 'used')", (bits, len(bits)))
        except sqlite3.IntegrityError:
            refused = True
        else:
            refused = False
            stored.append(bits)
        assert refused is overlaps
    raw.execute("ROLLBACK")


def test_one_row_for_the_network(raw: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        raw.execute("INSERT INTO registry VALUES (2, 1, 'x', NULL, 0, 0, 0)")


def test_every_query_of_a_request_uses_an_index(raw: sqlite3.Connection) -> None:
    for query in (
        "SELECT bits FROM space WHERE state='free' AND length=16 AND bits>='' ORDER BY bits LIMIT 1",
        "SELECT bits FROM space WHERE bits<='01' ORDER BY bits DESC LIMIT 1",
        "SELECT * FROM certificate WHERE key=x'00' ORDER BY serial DESC LIMIT 1",
        "SELECT * FROM certificate WHERE bits='01' ORDER BY serial DESC",
        "SELECT serial FROM certificate WHERE revoked IS NOT NULL AND expires > 7",
        "SELECT bits FROM node WHERE expires < 7",
        "SELECT bits FROM node WHERE seen >= 7",
    ):
        plan = " ".join(row[3] for row in raw.execute("EXPLAIN QUERY PLAN " + query))
        assert "SEARCH" in plan, query
        assert "SCAN" not in plan, query


def test_the_version_is_stored(raw: sqlite3.Connection) -> None:
    assert raw.execute("SELECT schema_version, network FROM registry").fetchone() == (
        schema.VERSION,
        str(NETWORK),
    )
