"""Processes that a daemon started but did not live to note down, found by the device that they carry.

Only in our own network namespace: in another one, a device of the same name is another node's.
"""

import os
import signal
from pathlib import Path


def end_orphans(program: str, device: str) -> int:
    """Terminate each ``program`` with the argument ``device``, a name drawn at random; returns how many."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        if not _matches(path, program, device):
            continue
        try:
            pidfd = os.pidfd_open(int(path.parent.name))
        except ProcessLookupError:
            continue
        try:
            # Read again: now the pid cannot be given to another process unnoticed.
            if _matches(path, program, device):
                signal.pidfd_send_signal(pidfd, signal.SIGTERM)
                found += 1
        except ProcessLookupError:
            pass
        finally:
            os.close(pidfd)
    return found


def _matches(path: Path, program: str, device: str) -> bool:
    try:
        if os.readlink(path.parent / "ns" / "net") != os.readlink("/proc/thread-self/ns/net"):
            return False
        argv = path.read_bytes().split(b"\0")
    except OSError:
        return False
    return os.path.basename(argv[0]) == program.encode() and device.encode() in argv
