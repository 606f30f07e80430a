"""A machine of the lab: a network namespace, and an environment that every command run in it shares.

Each command gets a mount namespace in which directories of the machine lie on ``/run/wireguard``, where
wireguard-go keeps its control sockets (two machines may then both have a ``wg0``), and on ``/run/re6stnet``,
where ``re6st`` looks for the node.  The directories, not the mount namespace, are what the commands share, so
no process has to be kept alive to hold it.
"""

import asyncio
import errno
import os
import re
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from netns_lab import programs
from netns_lab._native._switch import lib
from re6st_core.errors import ConfigError, RouterError

NETNS_DIR = Path("/run/netns")
# In the machine's directory -> where its commands see it.
_OWN_PLACES = {"wireguard": Path("/run/wireguard"), "run": Path("/run/re6stnet")}
_FAILED_LINE = re.compile(r"Command failed -:(\d+)")  # as `ip -batch` says it
# `ip netns exec` has made the mounts private to the command before this runs.
_ENTER = " && ".join(
    [*(f'mount --bind "$0/{own}" {place}' for own, place in _OWN_PLACES.items()), 'exec "$@"']
)


@dataclass(frozen=True, slots=True)
class Machine:
    """A network namespace and a directory for its files; both exist from :meth:`create` to the clean-up."""

    namespace: str
    directory: Path

    @property
    def path(self) -> Path:
        """The file that stands for the network namespace."""
        return NETNS_DIR / self.namespace

    def create(self) -> None:
        """Make namespace and directories; RouterError: the kernel refuses, ConfigError: the disk."""
        create_machines([self])

    def ip(self, lines: Iterable[str]) -> None:
        """Apply ``ip`` commands, all in one process; stops at the first that fails: RouterError names it."""
        commands = list(lines)
        try:
            programs.run(["ip", "-n", self.namespace, "-batch", "-"], text="\n".join([*commands, ""]))
        except RouterError as exc:
            failed = _FAILED_LINE.search(str(exc))
            command = commands[int(failed[1]) - 1] if failed else "…"
            raise RouterError(f"{self.namespace}: ip {command}: {exc}") from exc

    def nft(self, rules: str) -> None:
        """Load nftables rules, all or none; RouterError with what nft says."""
        argv = ["nft", "-f", "-"]
        programs.run(["ip", "netns", "exec", self.namespace, *argv], text=rules, shown=argv)

    def sysctl(self, settings: Mapping[str, int], *, must_exist: bool = False) -> None:
        """Set kernel parameters of this namespace; RouterError when the kernel refuses.

        Those that this kernel does not have are left out, unless they must exist.
        """
        for name, value in settings.items():
            path = f"/proc/sys/{name.replace('.', '/')}"
            fd = lib.lab_open_in(str(self.path).encode(), path.encode(), os.O_WRONLY)
            if fd == -errno.ENOENT and self.path.exists() and not must_exist:
                continue
            if fd < 0:
                raise RouterError(f"{name} in {self.namespace}: {os.strerror(-fd)}")
            try:
                os.write(fd, b"%d" % value)
            except OSError as exc:
                raise RouterError(f"{name}={value} in {self.namespace}: {exc.strerror}") from exc
            finally:
                os.close(fd)

    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket, non-blocking, that lives in this namespace although our process does not."""
        fd = lib.lab_socket_in(str(self.path).encode(), family, kind, protocol)
        if fd < 0:
            raise RouterError(f"socket in {self.namespace}: {os.strerror(-fd)}")
        return socket.socket(fileno=fd)

    def command(self, argv: Sequence[str]) -> list[str]:
        """The argument list that runs ``argv`` on this machine, as the very process that executes it."""
        return ["ip", "netns", "exec", self.namespace, "sh", "-c", _ENTER, str(self.directory), *argv]

    def run(self, argv: Sequence[str], *, text: str = "", timeout_s: float = 30) -> str:
        """Run a command to its end; returns its output, RouterError if it fails."""
        return programs.run(self.command(argv), text=text, timeout_s=timeout_s, shown=argv)

    async def call(
        self, argv: Sequence[str], *, log: Path, cwd: Path | None = None, timeout_s: float = 60
    ) -> str:
        """Run a command to its end while others run; returns its standard output, the rest goes to ``log``.

        Raises RouterError with the last line it logged.
        """
        with log.open("ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                *self.command(argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                cwd=cwd,
                env=programs.own_environment(),
                start_new_session=True,
            )
            try:
                async with asyncio.timeout(timeout_s):
                    output, _ = await process.communicate()
            except TimeoutError as exc:
                raise RouterError(f"{argv[0]} did not end within {timeout_s:g} s (see {log})") from exc
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode != 0:
            raise RouterError(f"{argv[0]}: exit status {process.returncode}: {last_line(log)} (see {log})")
        return output.decode()

    def start(
        self, argv: Sequence[str], *, log: Path, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a daemon on this machine, detached from our terminal; its output is appended to ``log``."""
        with log.open("ab") as output:
            return subprocess.Popen(
                self.command(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env=dict(env) if env is not None else programs.own_environment(),
                start_new_session=True,
            )


def create_machines(machines: Iterable[Machine]) -> None:
    """Make namespaces and directories of several machines, quicker than one by one.

    Raises RouterError when the kernel refuses, ConfigError when the disk does.
    """
    lines = ""
    for machine in machines:
        try:
            for own, place in _OWN_PLACES.items():
                (machine.directory / own).mkdir(parents=True)
                place.mkdir(mode=0o755, exist_ok=True)  # shared by all labs, so it stays, empty
        except OSError as exc:
            raise ConfigError(f"{exc.filename}: {exc.strerror}") from exc
        lines += f"netns add {machine.namespace}\n"
    programs.run(["ip", "-batch", "-"], text=lines)


def last_line(log: Path) -> str:
    """The last line of a log that says something; for error messages."""
    with log.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
