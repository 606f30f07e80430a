"""Leave nothing behind: a lab is on record before it exists, and the next run removes what the dead left.

The record, ``/run/netns-lab/<id>.json``, names the owner (pid and start time: pids are reused) and the
directory.  Everything else is found by the lab's id: namespaces are called ``nl-<id>-…``, every process of
the lab lives in one.  TAPs, veths, bridges and firewall rules go with their namespace.
"""

import contextlib
import fcntl
import json
import os
import re
import secrets
import select
import shutil
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from netns_lab import programs
from netns_lab.namespace import NETNS_DIR
from re6st_core.errors import ConfigError, RouterError

RUN_DIR = Path("/run/netns-lab")
_OURS = re.compile(r"nl-([0-9a-f]{6})-")
_KILL_WITHIN_S = 10.0
_REMOVING = 8  # directories at a time


@dataclass(frozen=True, slots=True)
class LabRecord:
    """What is known of a lab, alive or dead."""

    lab_id: str
    label: str  # of the user's choice, else the scenario or topology
    owner_pid: int
    owner_start: int  # clock ticks since boot, from /proc/PID/stat
    directory: Path | None
    keep: bool  # the user chose the directory: never remove it

    @property
    def alive(self) -> bool:
        """Whether the process that owns the lab still runs."""
        return self.owner_pid > 0 and process_start(self.owner_pid) == self.owner_start

    def namespace(self, machine: str) -> str:
        """Name of the namespace of a machine of this lab."""
        return f"nl-{self.lab_id}-{machine}"


def process_start(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None: no such process (a zombie is none)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return None if state == "Z" else int(fields[18])


def register(label: str, keep: Path | None, *, unique: bool = False) -> LabRecord:
    """Put a new lab of this process on record and make its directory (``keep``, or a temporary one).

    Raises ConfigError when ``keep`` can't be used (it must be absent or empty), or when the label must be
    ``unique`` and a lab of this label is up.
    """
    if keep is not None and keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise ConfigError(f"{keep}: not an empty directory")
    pid = os.getpid()
    with _registering():
        if unique and (same := [lab for lab in records() if lab.alive and lab.label == label]):
            raise ConfigError(
                f"a lab {label!r} is up already, process {same[0].owner_pid}: netns-lab down {label}, "
                "or give this one another --name"
            )
        while True:
            lab_id = secrets.token_hex(3)
            directory = keep.resolve() if keep else Path(tempfile.gettempdir()) / f"netns-lab-{lab_id}"
            record = LabRecord(lab_id, label, pid, process_start(pid) or 0, directory, keep is not None)
            if _write_new(record):
                break
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=record.keep)
    except OSError as exc:
        _record_path(lab_id).unlink()
        raise ConfigError(f"{directory}: {exc.strerror}") from exc
    return record


@contextlib.contextmanager
def _registering() -> Iterator[None]:
    """Make the directory of records, and let one process at a time look at it and add to it."""
    try:
        RUN_DIR.mkdir(mode=0o755, exist_ok=True)
        handle = os.open(RUN_DIR, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise ConfigError(f"{RUN_DIR}: {exc.strerror}") from exc
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def records() -> list[LabRecord]:
    """All labs on record; one whose record is unreadable counts as dead."""
    return [_read(path) for path in sorted(RUN_DIR.glob("*.json"))] if RUN_DIR.is_dir() else []


def clean_dead() -> list[LabRecord]:
    """Remove everything of labs whose owner is dead; returns them."""
    for leftover in RUN_DIR.glob(".*.tmp"):
        if process_start(int(leftover.name.split(".")[2])) is None:
            leftover.unlink(missing_ok=True)
    # Namespaces are listed before the records: a lab that starts now can't look like one without record.
    named = {match[1] for path in NETNS_DIR.glob("nl-*") if (match := _OURS.match(path.name))}
    known = records()
    dead = [record for record in known if not record.alive]
    # An `ip netns add` may outlive its lab by a moment, and even the cleaning of it.
    dead += [_unreadable(lab_id) for lab_id in named - {record.lab_id for record in known}]
    for record in dead:
        clean(record, keep_directory=record.keep)
    return dead


def clean(record: LabRecord, *, keep_directory: bool) -> None:
    """Remove a lab: processes, namespaces, directory, record.  Can be repeated, also by two at once.

    Raises RouterError when a process or a namespace can't be removed; the record then stays for the next try.
    """
    paths = list(NETNS_DIR.glob(f"{record.namespace('')}*"))
    with contextlib.ExitStack() as held:
        inodes = {_hold(path, held) for path in paths}
        kill_inside(inodes)
        try:
            deletions = "".join(f"netns del {path.name}\n" for path in paths)
            programs.run(["ip", "-force", "-batch", "-"], text=deletions)
        except RouterError:  # another command may have deleted them meanwhile
            if any(path.exists() for path in paths):
                raise
        kill_inside(inodes)  # what was about to enter while the others were killed
    if record.directory is not None and not keep_directory:
        _remove(record.directory)
    (RUN_DIR / f"{record.lab_id}.sock").unlink(missing_ok=True)
    _record_path(record.lab_id).unlink(missing_ok=True)


def _remove(directory: Path) -> None:
    """Remove a directory, parts side by side: a disk may wait for each file (30 nodes: 0.2 s, not 1.9)."""
    with contextlib.suppress(FileNotFoundError), ThreadPoolExecutor(_REMOVING) as pool:
        for path in directory.iterdir():
            pool.submit(shutil.rmtree, path, ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)


def _hold(path: Path, held: contextlib.ExitStack) -> int:
    """Inode of a namespace, kept from being reused by a new one while ``held`` is open; 0: it is gone."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    held.callback(os.close, handle)
    return os.fstat(handle).st_ino


def processes_inside(inodes: set[int]) -> Iterator[int]:
    """Pids of all processes whose network namespace is one of these inodes."""
    for entry in os.listdir("/proc") if inodes else ():
        if entry.isdigit():
            try:
                inode = os.stat(f"/proc/{entry}/ns/net").st_ino
            except OSError:  # ended meanwhile
                continue
            if inode in inodes:
                yield int(entry)


def kill_inside(inodes: set[int]) -> None:
    """Kill every process inside and wait for its end; again until there is none (they may fork meanwhile)."""
    while pids := set(processes_inside(inodes)):
        with contextlib.ExitStack() as handles:
            opened: dict[int, int] = {}  # pidfd -> pid
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    handle = os.pidfd_open(pid)
                    handles.callback(os.close, handle)
                    opened[handle] = pid
            # The handles pin the processes; only now it is certain that they are those seen inside.
            inside = set(processes_inside(inodes))
            poll = select.poll()
            waiting = {handle: pid for handle, pid in opened.items() if pid in inside}
            for handle in waiting:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                poll.register(handle, select.POLLIN)
            while waiting:
                ended = poll.poll(_KILL_WITHIN_S * 1000)
                if not ended:
                    raise RouterError(f"processes of the lab don't die: {sorted(waiting.values())}")
                for handle, _ in ended:
                    poll.unregister(handle)
                    del waiting[handle]


def _record_path(lab_id: str) -> Path:
    return RUN_DIR / f"{lab_id}.json"


def _write_new(record: LabRecord) -> bool:
    """Write the record whole or not at all; False when another lab has this id."""
    temporary = RUN_DIR / f".{record.lab_id}.{record.owner_pid}.tmp"
    fields = {
        "scenario": record.label,
        "owner_pid": record.owner_pid,
        "owner_start": record.owner_start,
        "directory": str(record.directory),
        "keep": record.keep,
    }
    try:
        with temporary.open("w") as file:
            json.dump(fields, file)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, _record_path(record.lab_id))  # unlike rename, never replaces
    except FileExistsError:
        return False
    except OSError as exc:
        raise ConfigError(f"{temporary}: {exc.strerror}") from exc
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _read(path: Path) -> LabRecord:
    try:
        fields = json.loads(path.read_text())
        return LabRecord(
            lab_id=path.stem,
            label=str(fields["scenario"]),
            owner_pid=int(fields["owner_pid"]),
            owner_start=int(fields["owner_start"]),
            directory=Path(fields["directory"]),
            keep=bool(fields["keep"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return _unreadable(path.stem)


def _unreadable(lab_id: str) -> LabRecord:
    return LabRecord(lab_id, "?", owner_pid=0, owner_start=0, directory=None, keep=True)
