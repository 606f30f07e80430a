"""The node's memory: survives, locks, and never stops the node."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from re6st_core.address import decode_endpoints_untrusted
from re6st_core.errors import ConfigError
from re6st_core.prefix import Prefix
from re6stnet.adapters.store import SqliteStore
from re6stnet.engine.messages import TunnelRecord
from re6stnet.ports import SavedTunnel

PEER = Prefix(16, 5)
ENDPOINTS = decode_endpoints_untrusted("192.0.2.1,1194,udp;2001:db8:1::1,1194,tcp6,FR")
TUNNEL = SavedTunnel(
    TunnelRecord("ab" * 16, PEER, True, "wireguard", 1400, ENDPOINTS[0], "key"),
    device="re6stabababab",
    local_port=21000,
    process={"pid": 12, "start_ticks": 34, "boot_id": "x"},
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path)
    yield store
    store.close()


def test_what_is_saved_is_there_after_a_restart(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path)
    store.save_tunnel(TUNNEL)
    store.save_peers([(PEER, ENDPOINTS)])
    store.save_value("x", b"\0y")
    store.close()
    again = SqliteStore(tmp_path)
    assert again.tunnels() == [TUNNEL]
    assert again.peers() == [(PEER, ENDPOINTS)]
    assert again.value("x") == b"\0y"
    again.forget_tunnel(TUNNEL.record.tunnel)
    assert again.tunnels() == []
    again.close()


def test_a_second_daemon_is_refused_and_told_who_is_there(store: SqliteStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"another re6stnet \(pid [0-9]+"):
        SqliteStore(tmp_path)


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "node.db").write_bytes(b"no database" * 1000)
    store = SqliteStore(tmp_path)
    store.save_value("x", b"y")
    assert store.value("x") == b"y"
    assert (tmp_path / "node.db.bad").exists()
    store.close()


def test_a_full_disk_does_not_stop_the_node(
    store: SqliteStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    db = store._db
    pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then answers as for a full disk
    store.save_peers([(Prefix(32, n), ENDPOINTS) for n in range(2000)])
    assert "cannot remember peers" in caplog.text
    assert store.peers() == []
    assert sqlite3.connect(tmp_path / "node.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_an_unreadable_row_is_left_out(store: SqliteStore) -> None:
    store.save_tunnel(TUNNEL)
    store._db.execute("INSERT INTO tunnel VALUES ('x', '{}')")
    store._db.execute("INSERT INTO peer VALUES ('x', 'y')")
    assert store.tunnels() == [TUNNEL]
    assert store.peers() == []
