"""First process of a user's sandbox (:mod:`netns_lab.rootless`): prepares it, and ends when nobody uses it.

Its end is the end of everything inside: with the first process of a process namespace the kernel kills the
others.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

RECORDS = Path("/run/netns-lab")


def prepare(records: int) -> None:
    """Give the sandbox a /run of its own, in it the directory of records, which is open."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "run", "/run"], check=True)
    RECORDS.mkdir(mode=0o700)
    subprocess.run(["mount", "--bind", f"/proc/self/fd/{records}", RECORDS], check=True, pass_fds=[records])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def main() -> int:
    """``sandbox DIRECTORY FD``: prepare, tell through FD that it is done, wait until the lock is free."""
    directory, tell = Path(sys.argv[1]), int(sys.argv[2])
    # Both are opened now: the directory may lie below what is about to be hidden.
    lock = os.open(directory / "sandbox", os.O_RDWR | os.O_CLOEXEC)
    records = os.open(directory / "labs", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    prepare(records)
    os.close(records)
    # Orphans of the sandbox become our children, and are nobody's to wait for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=tell) as waiting:
        waiting.send(b"ready")
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.ftruncate(lock, 0)  # whoever comes next makes a new sandbox
    return 0


if __name__ == "__main__":
    sys.exit(main())
