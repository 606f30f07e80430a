"""OpenVPN over TCP, for peers that UDP does not reach: one server for all, one process per tunnel we open.

    us: server, TCP N, one TAP ----+---- client, one TAP each: the peers'
        HTTPS on N --> control port of the daemon (port-share)

Certificates are the nodes' own; a client insists on the CN it wants, and takes from the server no more than
the parameters of the encryption. All processes outlive the daemon.
"""

import asyncio
import dataclasses
import logging
import os
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, Final

from babel_ctl.process import DetachedProcess, ProcessIdent
from re6st_core.address import Endpoint
from re6st_core.errors import ConfigError, PeerError, RouterError
from re6stnet.adapters import openvpn_management
from re6stnet.adapters.netlink import Kernel
from re6stnet.adapters.openvpn_management import Client
from re6stnet.adapters.orphan import end_orphans

logger = logging.getLogger(__name__)

DEFAULT_MTU: Final = 1400
_START_S: Final = 10.0
_CONNECT_S: Final = 15.0
_PING: Final = ("--ping", "1")
_SILENCE_S: Final = "4"
_HANDSHAKE_S: Final = "10"
MAX_LOG: Final = 1 << 20
"""Bytes; what a log has grown to when it is emptied: strangers write into the server's."""
_CHECK_S: Final = 30.0

_TAKEN_FROM_SERVER: Final = ("peer-id ", "cipher ", "key-derivation ", "protocol-flags ")
"""Beginnings of what a server may set on us.  Routes, addresses and the like would be applied as root."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Files in PEM form."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class OpenvpnHandle:
    """What the next daemon needs to find a process again; plain data."""

    device: str
    process: Mapping[str, Any]


def _common(device: str, credentials: Credentials, mark: int, mtu: int) -> list[str]:
    return [
        "openvpn", "--dev", device, "--dev-type", "tap", "--tun-mtu", str(mtu), "--mark", str(mark),
        "--ca", str(credentials.ca), "--cert", str(credentials.certificate), "--key", str(credentials.key),
        "--tls-version-min", "1.3", "--socket-flags", "TCP_NODELAY", *_PING, "--hand-window", _HANDSHAKE_S,
        "--script-security", "0", "--mute", "50",
    ]  # fmt: skip


class OpenvpnServer:
    """The node's one server; ``state_dir`` (private to root) holds its socket and revoked serials."""

    def __init__(
        self, kernel: Kernel, state_dir: Path, log_dir: Path, credentials: Credentials, mark: int
    ) -> None:
        self._kernel = kernel
        self._credentials = credentials
        self._mark = mark
        self._log = log_dir / "openvpn-server.log"
        self._socket = state_dir / "openvpn-server.sock"
        self._revoked = state_dir / "openvpn-revoked"
        self._process: DetachedProcess | None = None
        self._device = ""

    async def start(
        self,
        device: str,
        *,
        port: int,
        control_port: int,
        max_clients: int,
        link_local: IPv6Address | None = None,
        mtu: int = DEFAULT_MTU,
        on_spawn: Callable[[OpenvpnHandle], None] = lambda _handle: None,
    ) -> OpenvpnHandle:
        """Listen on TCP ``port``, IPv4 and IPv6; what is not OpenVPN goes to ``control_port`` of 127.0.0.1.

        ``link_local``: our address on the device, by which clients know us; None: a random one.
        ``on_spawn``: notes the process down, at once: it would outlive us, and keep the port.

        Raises ConfigError (openvpn missing, not root), RouterError (port taken, bad certificate ...).
        """
        self._make_revoked()
        argv = [
            *_common(device, self._credentials, self._mark, mtu),
            "--mode", "server", "--tls-server", "--proto", "tcp6-server", "--lport", str(port),
            "--port-share", "127.0.0.1", str(control_port), "--dh", "none",
            "--remote-cert-tls", "client", "--crl-verify", str(self._revoked), "dir",
            "--max-clients", str(max_clients), "--ping-restart", _SILENCE_S,
            "--verb", "1",  # strangers write here
            "--management", str(self._socket), "unix", "--management-client-user", "root",
        ]  # fmt: skip
        self._device = device
        self._process = process = DetachedProcess.spawn(argv, log=self._log)
        handle = OpenvpnHandle(device, dataclasses.asdict(process.ident))
        try:
            on_spawn(handle)
            await _device_comes(self._kernel, process, device, self._log, within_s=_START_S)
            # It listens after it has made its device, and answers only once it listens.
            await self._listening(process)
            await self._kernel.bring_up(device, mtu=mtu, link_local=link_local or _random_link_local())
        except BaseException:
            await self.stop()
            raise
        return handle

    async def adopt(
        self, handle: OpenvpnHandle, *, link_local: IPv6Address | None = None, mtu: int = DEFAULT_MTU
    ) -> bool:
        """Take over the server of an earlier daemon; False (and nothing is left of it) if it is not whole.

        ``link_local``: put on the device once more, as that daemon may have died before.
        """
        self._device = handle.device
        self._process = _adopt(handle)
        try:
            if self._process is not None:
                await self.clients()
                if link_local is not None:
                    await self._kernel.bring_up(handle.device, mtu=mtu, link_local=link_local)
                return True
        except RouterError:
            pass  # it had only begun when the daemon died
        await self.stop()
        return False

    async def clear(self, device: str) -> None:
        """End what earlier daemons left on ``device`` without a note, and wait until it is gone."""
        self._device = device
        await self.stop()

    async def clients(self) -> tuple[Client, ...]:
        """Who is connected now.  Raises RouterError."""
        return await openvpn_management.clients(self._socket)

    async def set_revoked(self, serials: Iterable[int]) -> None:
        """Refuse these certificates from the next handshake on; see :meth:`disconnect` for those inside."""
        self._make_revoked()
        wanted = set(map(str, serials))
        present = {path.name for path in self._revoked.iterdir()}
        try:
            for name in wanted - present:
                (self._revoked / name).touch()
            for name in present - wanted:
                (self._revoked / name).unlink(missing_ok=True)
        except OSError as exc:
            raise ConfigError(f"cannot write {self._revoked}: {exc.strerror}") from exc

    async def disconnect(self, cn: str) -> bool:
        """Send a client away; whether it was there.  Raises RouterError."""
        return await openvpn_management.disconnect(self._socket, cn)

    async def ended(self) -> str:
        """Return, with the reason, when the server ends."""
        if self._process is None:
            return "the OpenVPN server does not run"
        await _end_of(self._kernel, self._process, self._device, self._log)
        return f"the OpenVPN server ended: {_last_line(self._log)}"

    async def stop(self) -> None:
        """Stop the server and remove its device; absence is fine."""
        if self._process is not None:
            await self._process.stop()
            self._process = None
        elif self._device:
            await end_orphans("openvpn", self._device)
        if self._device:
            await self._kernel.delete_link(self._device)
        self._socket.unlink(missing_ok=True)

    def release(self) -> None:
        """Let go of the server, which lives on."""
        if self._process is not None:
            self._process.release()

    async def _listening(self, process: DetachedProcess) -> None:
        """Return once the port is ours.  Raises RouterError with OpenVPN's last words."""
        try:
            await openvpn_management.clients(self._socket)
        except RouterError as exc:
            await process.stop()
            raise RouterError(f"the OpenVPN server does not get up: {_last_line(self._log)}") from exc

    def _make_revoked(self) -> None:
        try:
            self._revoked.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise ConfigError(f"cannot make {self._revoked}: {exc.strerror}") from exc


class OpenvpnClients:
    """The tunnels that this node opens over TCP, each a process and a TAP."""

    def __init__(self, kernel: Kernel, log_dir: Path, credentials: Credentials, mark: int) -> None:
        self._kernel = kernel
        self._log_dir = log_dir
        self._credentials = credentials
        self._mark = mark
        self._processes: dict[str, DetachedProcess] = {}

    async def create(
        self, device: str, peer_cn: str, endpoint: Endpoint, *, mtu: int = DEFAULT_MTU
    ) -> OpenvpnHandle:
        """Start to connect; :meth:`connected` tells when the tunnel carries packets.

        Raises ConfigError (openvpn missing).
        """
        argv = [
            *_common(device, self._credentials, self._mark, mtu),
            "--client", "--nobind", "--proto", f"tcp{endpoint.ip.version}-client",
            "--remote", str(endpoint.ip), str(endpoint.port),
            "--remote-cert-tls", "server", "--verify-x509-name", peer_cn, "name",
            # A tunnel that fails ends; whether to try again, and whom, is the engine's choice.
            "--connect-timeout", "5", "--connect-retry-max", "1", "--tls-exit",
            "--ping-exit", _SILENCE_S, "--remap-usr1", "SIGTERM",
            "--route-nopull", "--route-noexec", "--ifconfig-noexec",
            "--verb", "3",  # the least that tells whose certificate was refused
        ]  # fmt: skip
        for text in _TAKEN_FROM_SERVER:
            argv += ["--pull-filter", "accept", text]
        argv += ["--pull-filter", "ignore", ""]
        self._processes[device] = process = DetachedProcess.spawn(argv, log=self._file(device))
        return OpenvpnHandle(device, dataclasses.asdict(process.ident))

    async def connected(
        self, device: str, *, link_local: IPv6Address | None = None, mtu: int = DEFAULT_MTU
    ) -> None:
        """Return once the peer has accepted us and the device is up, with our address on it (None: random).

        OpenVPN makes the device when the handshake is over. Raises PeerError if that does not happen; the
        caller then removes the tunnel.
        """
        process = self._processes[device]
        try:
            await _device_comes(self._kernel, process, device, self._file(device), within_s=_CONNECT_S)
        except RouterError as exc:
            raise PeerError(str(exc)) from exc
        await self._kernel.bring_up(device, mtu=mtu, link_local=link_local or _random_link_local())

    async def adopt(self, handle: OpenvpnHandle) -> bool:
        """Take over a process of an earlier daemon; False (and nothing is left of it) if it has ended."""
        process = _adopt(handle)
        if process is None:
            await self.remove(handle.device)
            return False
        self._processes[handle.device] = process
        return True

    async def ended(self, device: str) -> str:
        """Return, with the reason, when the tunnel's process ends."""
        await _end_of(self._kernel, self._processes[device], device, self._file(device))
        return f"OpenVPN of {device} ended: {_last_line(self._file(device))}"

    async def remove(self, device: str) -> None:
        """Remove a tunnel; absence is fine."""
        process = self._processes.pop(device, None)
        if process is not None:
            await process.stop()
        else:
            await end_orphans("openvpn", device)
        await self._kernel.delete_link(device)
        self._file(device).unlink(missing_ok=True)

    def release(self) -> None:
        """Let go of all tunnels, which live on."""
        for process in self._processes.values():
            process.release()
        self._processes.clear()

    def _file(self, device: str) -> Path:
        return self._log_dir / f"{device}.log"


def _adopt(handle: OpenvpnHandle) -> DetachedProcess | None:
    try:
        return DetachedProcess.adopt(ProcessIdent(**handle.process))
    except TypeError as exc:
        raise RouterError(f"{handle.device}: malformed identity of a process") from exc


async def _device_comes(
    kernel: Kernel, process: DetachedProcess, device: str, log: Path, *, within_s: float
) -> None:
    """Return once OpenVPN has made its device.  Raises RouterError with its last words."""
    link = asyncio.create_task(kernel.wait_for_link(device))
    ended = asyncio.create_task(process.wait())
    try:
        await asyncio.wait({link, ended}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        if ended.done() or not link.done():
            raise RouterError(f"OpenVPN of {device} does not get up: {_last_line(log)}")
        await link
    finally:
        link.cancel()
        ended.cancel()


async def _end_of(kernel: Kernel, process: DetachedProcess, device: str, log: Path) -> None:
    """Wait for the end of a process; meanwhile its log stays small.

    Without its device OpenVPN would go on, carry nothing, and keep a processor busy: then it is ended.
    """
    while True:
        try:
            async with asyncio.timeout(_CHECK_S):
                await process.wait()
                return
        except TimeoutError:
            _bound(log)
        try:
            if not await kernel.links(device):
                await process.stop()
                return
        except RouterError as exc:
            logger.warning("%s", exc)


def _bound(log: Path) -> None:
    """Empty a log that has become too long; OpenVPN appends to it, so it goes on at the new end."""
    try:
        if log.stat().st_size > MAX_LOG:
            os.truncate(log, 0)
    except FileNotFoundError:
        pass
    except OSError as exc:
        logger.warning("cannot shorten %s: %s", log, exc.strerror)


_STAMP: Final = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8} ")
_IDLE_WORDS: Final = ("Exiting", "SIGTERM", "SIGUSR1", "Use --help", "Closing")


def _last_line(log: Path) -> str:
    """The last line that says why: OpenVPN ends with some that do not."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "it left no log"
    useful = [
        _STAMP.sub("", line.strip())
        for line in lines
        if line.strip() and not any(word in line for word in _IDLE_WORDS)
    ]
    refusals = [line for line in useful if line.startswith("VERIFY") and "ERROR" in line]
    return (refusals or useful or ["it gave no reason"])[-1]


def _random_link_local() -> IPv6Address:
    """Ours rather than the kernel's, which would not be usable until duplicate detection is over."""
    return IPv6Address(0xFE80 << 112 | secrets.randbits(64))
