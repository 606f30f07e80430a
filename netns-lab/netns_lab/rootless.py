"""Labs without root: every command of a user enters the user's sandbox, where that user is root.

::

    netns-lab …  --nsenter-->  sandbox: user, mount, network and process namespaces, a /run of its own
         |                        |
         +--- shared lock --------+--- its first process waits for the exclusive lock

The sandbox is made by the first command and ends with the last: its first process gets the lock once no
command and no owner of a lab holds it any more, and ends; the kernel then kills what is left inside and
removes the namespaces.  Records of labs are kept outside of it, so that the next command removes what a dead
lab left on disk.
"""

import contextlib
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from netns_lab import programs
from netns_lab.cleanup import process_start
from re6st_core.errors import ConfigError, RouterError

_LOCK_VARIABLE = "NETNS_LAB_SANDBOX_LOCK"
_READY_WITHIN_S = 20.0
_CREDENTIALS = struct.Struct("@iII")  # pid, uid, gid of struct ucred
_FORBIDDING = {
    "kernel/unprivileged_userns_clone": ("0", "sysctl kernel.unprivileged_userns_clone=1"),
    "kernel/apparmor_restrict_unprivileged_userns": (
        "1",
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    "user/max_user_namespaces": ("0", "sysctl user.max_user_namespaces=10000"),
}


def require(sysctls: Path = Path("/proc/sys"), tun: Path = Path("/dev/net/tun")) -> None:
    """Check that this machine lets users have namespaces; ConfigError says all that is in the way."""
    problems = []
    for name, (forbidding, mend) in _FORBIDDING.items():
        with contextlib.suppress(OSError):  # this kernel has no such setting
            if (sysctls / name).read_text().strip() == forbidding:
                problems.append(f"users may not have namespaces of their own here; as root: {mend}")
    if not os.access(tun, os.R_OK | os.W_OK):
        mend = f"chmod 666 {tun}" if tun.exists() else "modprobe tun"
        problems.append(f"{tun} can't be opened by users; as root: {mend}")
    missing = [name for name in ("unshare", "nsenter", "mount") if shutil.which(name) is None]
    if missing:
        problems.append(f"{', '.join(missing)} not found; as root: apt-get install -y util-linux mount")
    if problems:
        raise ConfigError(*problems, "or run it as root: sudo netns-lab …")


def enter(argv: Sequence[str]) -> NoReturn:
    """Run ``netns-lab`` with these arguments inside the sandbox, in place of this process."""
    require()
    directory = _own_directory()
    with _alone(directory):
        lock = os.open(directory / "sandbox", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_SH)  # waits while an old sandbox ends
        pid = str(_living(directory) or _make(directory))
    os.set_inheritable(lock, True)
    where = ["--target", pid, "--user", "--mount", "--net", "--pid", "--preserve-credentials"]
    here = f"--wd={os.getcwd()}"
    command = [sys.executable, "-P", "-m", "netns_lab", *argv]
    environment = {**programs.own_environment(), _LOCK_VARIABLE: str(lock)}
    argv = ["nsenter", *where, here, "--", *command]
    os.execvpe(argv[0], argv, environment)  # noqa: S606 - an argument list, no shell


def held_lock() -> tuple[int, ...]:
    """What keeps the sandbox alive, for ``pass_fds`` of a process that outlives this command."""
    lock = os.environ.get(_LOCK_VARIABLE)
    return () if lock is None else (int(lock),)


def in_sandbox() -> bool:
    """Whether this process is root only because its user is, in the sandbox."""
    return _LOCK_VARIABLE in os.environ


def _own_directory() -> Path:
    """Where the user's sandbox is on record: nobody else may put anything there."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    shared = Path(tempfile.gettempdir(), f"netns-lab-{os.getuid()}")
    directory = Path(runtime, "netns-lab") if runtime else shared
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        state = directory.lstat()
        (directory / "labs").mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"{directory}: {exc.strerror}") from exc
    if state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise ConfigError(f"{directory}: belongs to somebody else, or others may write to it; remove it")
    return directory


def _living(directory: Path) -> int | None:
    """First process of the sandbox on record; None: there is none, or it was killed."""
    pid, _, start = (directory / "sandbox").read_text().partition(" ")
    return int(pid) if pid and str(process_start(int(pid))) == start else None


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One command at a time looks for the sandbox and makes it."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _make(directory: Path) -> int:
    """Make the sandbox; returns its first process, which is on record in the lock's file from now on."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        ours.settimeout(_READY_WITHIN_S)
        namespaces = ["--user", "--map-root-user", "--net", "--mount", "--pid", "--mount-proc"]
        first = [sys.executable, "-P", "-m", "netns_lab.sandbox", str(directory), str(theirs.fileno())]
        process = subprocess.Popen(
            ["unshare", *namespaces, "--fork", "--kill-child", "--", *first],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            env=programs.own_environment(),
            start_new_session=True,
        )
        theirs.close()
        try:
            _, ancillary, _, _ = ours.recvmsg(16, 256)
        except OSError:
            ancillary = []
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            # The kernel has translated it: inside, that process is number 1.
            pid: int = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0]
            (directory / "sandbox").write_text(f"{pid} {process_start(pid)}")
            return pid
    process.kill()
    assert process.stderr is not None
    said = process.stderr.read().decode(errors="replace").strip().splitlines()
    raise RouterError(f"no sandbox for labs without root: {said[-1] if said else 'it did not answer'}")
