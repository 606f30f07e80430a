"""Whatever dies, the next run finds and removes what is left, and touches nobody else's."""

import os
import secrets
import select
import subprocess
import sys
from pathlib import Path

import pytest

from netns_lab import cleanup
from netns_lab.cleanup import LabRecord, process_start
from netns_lab.lab import Lab
from netns_lab.namespace import NETNS_DIR
from netns_lab.topology import Topology
from re6st_core.errors import ConfigError
from tests.helpers.topologies import SMALL

OWNER = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from netns_lab.lab import Lab
from netns_lab.topology import parse_topology
lab = Lab(parse_topology({document!r}, name="small", source="small"), keep={keep!r} and Path({keep!r}),
          internet="switch")
lab.__enter__()
log = lab.logs / "daemon.log"
children = [lab.machines[name].start(["sh", "-c", "trap '' TERM; tail -f /dev/null & wait"], log=log)
            for name in ("a", "h1")]
print(lab.record.lab_id, lab.internet.pid, *(child.pid for child in children), flush=True)
sys.stdin.read()
"""


def killed_lab(document: object, keep: Path | None = None) -> tuple[LabRecord, list[int]]:
    """A lab whose process got kill -9: its record, and the pids of what it had started."""
    program = OWNER.format(path=sys.path, document=document, keep=str(keep) if keep else None)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        lab_id, *pids = owner.stdout.readline().split()
        record = next(record for record in cleanup.records() if record.lab_id == lab_id)
        assert record.alive
        owner.kill()
    assert not record.alive
    return record, [int(pid) for pid in pids]


def gone(pids: list[int]) -> bool:
    """Whether all have ended; waits for those that are about to."""
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended, _, _ = select.select([handle], [], [], 5)
        os.close(handle)
        if not ended:
            return False
    return True


@pytest.mark.root
def test_after_kill_9_the_next_run_removes_everything() -> None:
    record, pids = killed_lab(SMALL)
    assert list(NETNS_DIR.glob(record.namespace("*")))
    cleaned = cleanup.clean_dead()
    assert record.lab_id in {each.lab_id for each in cleaned}
    assert gone(pids)
    assert not list(NETNS_DIR.glob(record.namespace("*")))
    assert record.directory is not None
    assert not record.directory.exists()
    assert record.lab_id not in {each.lab_id for each in cleanup.records()}
    cleanup.clean(record, keep_directory=False)  # once more is harmless


@pytest.mark.root
def test_the_next_lab_cleans_first_and_a_chosen_directory_is_kept(small: Topology, tmp_path: Path) -> None:
    record, pids = killed_lab(SMALL, keep=tmp_path / "kept")
    with Lab(small):
        assert gone(pids)
        assert not list(NETNS_DIR.glob(record.namespace("*")))
    assert (tmp_path / "kept" / "logs" / "daemon.log").exists()


@pytest.mark.root
def test_a_living_lab_is_left_alone(small: Topology) -> None:
    with Lab(small) as lab:
        assert lab.record.lab_id not in {record.lab_id for record in cleanup.clean_dead()}
        lab.machines["a"].run(["ping", "-c", "1", "-W", "2", "203.0.113.2"])


@pytest.mark.root
def test_a_namespace_that_came_after_its_lab_was_removed_is_found() -> None:
    late, other = f"nl-{secrets.token_hex(3)}-late", f"nl-other-{secrets.token_hex(3)}"
    for name in (late, other):
        subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        cleanup.clean_dead()
        assert not (NETNS_DIR / late).exists()
        assert (NETNS_DIR / other).exists()
    finally:
        subprocess.run(["ip", "netns", "del", other], check=True)


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records of our own: these tests need no privileges."""
    monkeypatch.setattr(cleanup, "RUN_DIR", tmp_path / "run")
    monkeypatch.setattr(cleanup, "NETNS_DIR", tmp_path / "netns")
    return tmp_path / "run"


def test_a_record_tells_the_living_from_the_dead_and_from_a_reused_pid(run_dir: Path, tmp_path: Path) -> None:
    record = cleanup.register("demo", tmp_path / "kept")
    assert cleanup.records() == [record]
    assert record.alive
    assert not LabRecord("0", "demo", record.owner_pid, record.owner_start - 1, None, False).alive


def test_an_unreadable_record_counts_as_dead_and_is_removed(run_dir: Path) -> None:
    run_dir.mkdir()
    for lab_id, content in (("aaaaaa", ""), ("bbbbbb", "[]"), ("cccccc", '{"owner_pid": "x"}')):
        (run_dir / f"{lab_id}.json").write_text(content)
    assert len(cleanup.clean_dead()) == 3
    assert list(run_dir.iterdir()) == []


def test_a_record_half_written_by_a_dead_process_is_removed(run_dir: Path) -> None:
    run_dir.mkdir()
    dead = subprocess.Popen(["true"])
    dead.wait()
    (run_dir / f".abcdef.{dead.pid}.tmp").write_text("{")
    (run_dir / f".abcdee.{os.getpid()}.tmp").write_text("{")
    cleanup.clean_dead()
    assert [path.name for path in run_dir.iterdir()] == [f".abcdee.{os.getpid()}.tmp"]


def test_a_directory_that_cannot_be_made_leaves_no_record(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="Not a directory"):
        cleanup.register("demo", tmp_path / "file" / "below")
    assert cleanup.records() == []


def test_a_zombie_and_a_missing_process_have_no_start_time() -> None:
    with subprocess.Popen(["true"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process_start(child.pid) is None
    assert process_start(child.pid) is None
    assert process_start(os.getpid()) is not None


def test_two_labs_may_share_a_label_unless_one_must_be_unique(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "RUN_DIR", tmp_path / "run")
    first = cleanup.register("demo", tmp_path / "first")
    second = cleanup.register("demo", tmp_path / "second")
    assert first.lab_id != second.lab_id
    with pytest.raises(ConfigError, match=f"process {os.getpid()}: netns-lab down demo"):
        cleanup.register("demo", tmp_path / "third", unique=True)
    assert cleanup.register("other", tmp_path / "third", unique=True).label == "other"
    assert len(cleanup.records()) == 3
