"""The database itself refuses what must never be."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from caucase_ca.authority import generate_key
from re6st_core.identity import load_certificate_untrusted, verify_node_certificate
from re6st_core.registry_wire import EnrolRequest
from registry.service import FRESH
from registry.store import schema
from registry.store.database import Database
from tests.helpers.registry import NETWORK, make, new_token, now, request_pem

ONE_ROW = re.compile(r"(FROM|UPDATE) (registry|publication)\b")
"""Queries of the tables that have one row."""


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


def test_every_query_of_a_request_uses_an_index(tmp_path: Path) -> None:
    registry = make(tmp_path)
    asked: list[tuple[str, tuple[str | int | bytes, ...]]] = []
    event.listen(
        registry.database._engine, "before_cursor_execute", lambda *about: asked.append((about[2], about[3]))
    )
    when, key = now(), generate_key()
    held = registry.enrol(EnrolRequest(csr=request_pem(key), token=new_token(registry)), when)
    identity = verify_node_certificate(
        load_certificate_untrusted(held.pem.encode()), registry.authority.certificate, now=when
    )
    registry.renew(identity, request_pem(generate_key()), when)
    registry.see(held.prefix, "", when)
    registry.nodes_seen_since(when)
    registry.last_seen(8, when)
    registry.revoke(held.prefix, when)
    registry.published(when + FRESH)
    registry.database.close()
    connection = sqlite3.connect(registry.database.path)
    plans = {
        query: " ".join(row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + query, values))
        for query, values in asked
        if query.startswith(("SELECT", "UPDATE", "DELETE"))
    }
    connection.close()
    assert len(plans) > 15
    walking = {query for query, plan in plans.items() if "SCAN" in plan.replace("SCAN CONSTANT ROW", "")}
    assert {query for query in walking if not ONE_ROW.search(query)} == set()


def test_the_version_is_stored(raw: sqlite3.Connection) -> None:
    assert raw.execute("SELECT schema_version, network FROM registry").fetchone() == (
        schema.VERSION,
        str(NETWORK),
    )
