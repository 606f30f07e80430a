"""A child process that outlives the daemon which started it, and that the next daemon can adopt.

The child gets a session of its own and writes to a log file, never to a pipe of ours, so our death does not
touch it. Its identity is its pid together with its start time, so that a reused pid is not mistaken for it.
Its end is awaited through a pidfd, which works for children and adopted processes alike (pidfd_open(2)).
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from re6st_core.errors import ConfigError

PACKAGES: Final = {"babeld": "babeld", "openvpn": "openvpn", "wireguard-go": "wireguard-go"}
"""Debian package of each program we start."""


@dataclass(frozen=True, slots=True)
class ProcessIdent:
    """Names one process for as long as the machine runs; plain fields, to be kept as JSON."""

    pid: int
    start_ticks: int  # clock ticks after boot, field 22 of proc_pid_stat(5)
    boot_id: str


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def identify(pid: int) -> ProcessIdent | None:
    """Return the identity of a process; None when there is none or it is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name, in parentheses, may contain spaces and parentheses.
    state, *rest = stat[stat.rindex(b")") + 2 :].split()
    if state in (b"Z", b"X"):
        return None
    return ProcessIdent(pid, int(rest[18]), _boot_id())


class DetachedProcess:
    """A running process, child or not; ``ident`` finds it again after our own death."""

    def __init__(self, ident: ProcessIdent, pidfd: int) -> None:
        self.ident = ident
        self._pidfd = pidfd
        self._status: int | None = None
        self._ended: asyncio.Future[None] | None = None

    @classmethod
    def spawn(
        cls,
        argv: Sequence[str],
        *,
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> DetachedProcess:
        """Start a program; its output is appended to ``log``.

        Raises ConfigError when the program is missing (naming its Debian package), not executable, or the log
        cannot be opened.
        """
        try:
            log_fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as exc:
            raise ConfigError(f"cannot open log file {log}: {exc.strerror}") from exc
        try:
            child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log_fd, stderr=log_fd, cwd=cwd, env=env,
                start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError as exc:
            package = PACKAGES.get(os.path.basename(argv[0]))
            hint = f": install the Debian package {package}" if package else ""
            raise ConfigError(f"program not found: {argv[0]}{hint}") from exc
        except OSError as exc:
            raise ConfigError(f"cannot start {argv[0]}: {exc.strerror}") from exc
        finally:
            os.close(log_fd)
        # Reaping is ours, by pidfd: Popen must neither warn about the living child nor wait for its pid.
        child.returncode = 0
        pidfd = os.pidfd_open(child.pid)
        # An immediate end leaves a zombie, which keeps pid and start time until we reap it.
        ident = identify(child.pid) or ProcessIdent(child.pid, 0, _boot_id())
        return cls(ident, pidfd)

    @classmethod
    def adopt(cls, ident: ProcessIdent) -> DetachedProcess | None:
        """Return the process of that identity if it still runs, None otherwise."""
        try:
            pidfd = os.pidfd_open(ident.pid)
        except (ProcessLookupError, ValueError):
            return None
        # Compared after opening: from here on the pidfd names whatever process has been compared.
        if identify(ident.pid) != ident:
            os.close(pidfd)
            return None
        return cls(ident, pidfd)

    @property
    def pid(self) -> int:
        """The process id."""
        return self.ident.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs (a zombie does not)."""
        if self._pidfd < 0:
            return False
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return not poll.poll(0)

    async def wait(self) -> int | None:
        """Wait for the end; return its exit status (negative: signal), None for an adopted process.

        Raises RuntimeError after ``release``.
        """
        if self._pidfd < 0:
            if self._ended is None:
                raise RuntimeError("the process was released")
            return self._status
        if self._ended is None:
            loop = asyncio.get_running_loop()
            self._ended = loop.create_future()
            loop.add_reader(self._pidfd, self._on_end)
        await asyncio.shield(self._ended)
        return self._status

    def _on_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        try:
            result = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED)
        except ChildProcessError:
            result = None  # adopted: somebody else's child
        if result is not None:
            self._status = result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
        os.close(self._pidfd)
        self._pidfd = -1
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process has ended."""
        if self._pidfd >= 0:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:
                pass

    async def stop(self, grace_s: float = 5.0) -> int | None:
        """Terminate; kill after ``grace_s``; return the exit status as ``wait`` does."""
        self.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                return await self.wait()
        except TimeoutError:
            self.send_signal(signal.SIGKILL)
            return await self.wait()

    def release(self) -> None:
        """Let go of the process, which runs on."""
        if self._pidfd < 0:
            return
        if self._ended is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            self._ended.cancel()
        os.close(self._pidfd)
        self._pidfd = -1


def listener(path: Path) -> DetachedProcess | None:
    """Return the process that listens on a UNIX socket, None when nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return None
        credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    ident = identify(struct.unpack("3i", credentials)[0])
    return DetachedProcess.adopt(ident) if ident else None
