"""What must outlive the daemon is written whole or not at all."""

from pathlib import Path

import pytest

from babel_ctl.babeld_state import BabeldState, load, new_router_id, next_seqno, replace_file, save
from babel_ctl.config import LAN, InterfaceParameters
from babel_ctl.process import ProcessIdent
from re6st_core.errors import ConfigError

STATE = BabeldState(
    router_id="02:00:00:00:00:00:00:01", seqno=7, process=ProcessIdent(1, 2, "boot"), argv=("babeld", "-V"),
    interfaces={"t0": InterfaceParameters(), "eth0": LAN},
)  # fmt: skip


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    save(tmp_path / "state", STATE)
    assert load(tmp_path / "state") == STATE
    assert list(tmp_path.iterdir()) == [tmp_path / "state"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"router_id": 1, "seqno": 2}'])
def test_a_damaged_state_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state").write_bytes(content)
    assert load(tmp_path / "state") is None
    assert load(tmp_path / "missing") is None


def test_a_disk_that_refuses_leaves_the_old_state(tmp_path: Path) -> None:
    save(tmp_path / "state", STATE)
    with pytest.raises(ConfigError, match="cannot write"):
        replace_file(tmp_path / "missing" / "state", b"")
    with pytest.raises(ConfigError, match="cannot write"):
        replace_file(tmp_path, b"")  # a folder in the way
    with pytest.raises(ConfigError, match="cannot read"):
        load(tmp_path)
    assert load(tmp_path / "state") == STATE


def test_a_router_id_is_local_and_for_one() -> None:
    assert new_router_id(b"\xff" * 8) == "fe:ff:ff:ff:ff:ff:ff:ff"
    assert new_router_id(bytes(8)) == "02:00:00:00:00:00:00:00"


def test_the_sequence_number_only_grows(tmp_path: Path) -> None:
    assert next_seqno(tmp_path / "state", 65_000) == 464  # after a crash, around the circle
    (tmp_path / "state").write_text("61045")
    assert next_seqno(tmp_path / "state", 7) == 61_045  # babeld's own, after a clean exit
    (tmp_path / "state").write_text("garbage")
    assert next_seqno(tmp_path / "state", 7) == 1007
