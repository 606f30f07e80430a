"""WireGuard tunnels: one device and one peer each, made by the kernel if it can, else by wireguard-go.

A wireguard-go is a process of its own that outlives the daemon; the next one adopts it by the handle. Killing
it, or deleting its device, ends both.
"""

import asyncio
import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, Final

from babel_ctl.process import DetachedProcess, ProcessIdent
from re6st_core.address import Endpoint
from re6st_core.errors import RouterError
from re6stnet.adapters import wireguard_kernel
from re6stnet.adapters.inotify import MORE_INSTANCES, wait_for_file
from re6stnet.adapters.netlink import Kernel
from re6stnet.adapters.orphan import end_orphans
from re6stnet.adapters.wireguard_key import PrivateKey
from re6stnet.adapters.wireguard_uapi import (
    GET,
    DeviceConfig,
    DeviceState,
    ask,
    encode_config,
    encode_endpoint,
)

SOCKETS: Final = Path("/var/run/wireguard")
_START_S: Final = 10.0
_LAST_WORDS_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WireguardTunnel:
    """What a tunnel's end is made of."""

    device: str
    private_key: PrivateKey
    listen_port: int
    peer_key: str
    """Base64."""
    endpoint: Endpoint | None
    """None: the peer speaks first."""
    mtu: int
    link_local: IPv6Address
    """Ours on the tunnel, known to the peer: :func:`~re6stnet.adapters.routing.link_local`."""
    keepalive_s: int = 0
    """25 behind a NAT."""


@dataclass(frozen=True, slots=True)
class DeviceHandle:
    """What the next daemon needs to find a tunnel again; plain data."""

    device: str
    process: Mapping[str, Any] | None
    """The wireguard-go; None: the kernel carries it."""


class WireguardDevices:
    """The WireGuard tunnels of one node.  ``mark``: of the packets that they send on the underlay."""

    def __init__(self, kernel: Kernel, log_dir: Path, mark: int, *, userspace: bool | None = None) -> None:
        self._kernel = kernel
        self._log_dir = log_dir
        self._mark = mark
        self._userspace = userspace
        self._processes: dict[str, DetachedProcess] = {}
        self._probe = asyncio.Lock()

    async def create(self, tunnel: WireguardTunnel) -> DeviceHandle:
        """Make the device, up and configured; on failure nothing is left.

        Raises RouterError, ConfigError (wireguard-go missing, or not root).
        """
        try:
            if await self._in_userspace():
                await self._spawn(tunnel.device)
            else:
                await self._kernel.add_link(tunnel.device, "wireguard")
            # Up first: then a port that is taken is an error of the configuration, else nobody would know.
            await self._kernel.bring_up(tunnel.device, mtu=tunnel.mtu, link_local=tunnel.link_local)
            await self._configure(tunnel)
        except BaseException:
            await self.remove(tunnel.device)
            raise
        process = self._processes.get(tunnel.device)
        return DeviceHandle(tunnel.device, dataclasses.asdict(process.ident) if process else None)

    async def adopt(self, handle: DeviceHandle) -> bool:
        """Take over a device of an earlier daemon; False (and nothing is left of it) if it is not whole."""
        exists = any(
            link.name == handle.device and link.up for link in await self._kernel.links(handle.device)
        )
        process = None
        if handle.process is not None:
            try:
                process = DetachedProcess.adopt(ProcessIdent(**handle.process))
            except TypeError as exc:
                raise RouterError(f"{handle.device}: malformed identity of a process") from exc
        if process is not None:
            self._processes[handle.device] = process
        whole = exists and (process is not None or handle.process is None)
        # A device without a known process may be a wireguard-go whose identity was never saved: it answers
        # on its socket, the kernel's own does not.
        if whole and process is None and _socket(handle.device).exists():
            whole = False
        if not whole:
            await self.remove(handle.device)
        return whole

    async def forget_source(self, device: str, peer_key: str) -> None:
        """Let packets leave from whatever address this host has now.  Raises RouterError.

        wireguard-go goes on with the address to which the peer's last packet came, also when that is gone.
        The kernel's WireGuard does not.
        """
        if device in self._processes:
            state = await self._ask(device, GET)
            if state.endpoint is not None:
                await self._ask(device, encode_endpoint(peer_key, state.endpoint))

    async def set_endpoint(self, device: str, peer_key: str, endpoint: Endpoint) -> None:
        """Send to ``endpoint`` from now on.  Raises RouterError."""
        if device in self._processes:
            await self._ask(device, encode_endpoint(peer_key, endpoint))
        else:
            await wireguard_kernel.send(wireguard_kernel.endpoint_message(device, peer_key, endpoint))

    async def state(self, device: str) -> DeviceState:
        """Port, last handshake, bytes.  Raises RouterError."""
        if device in self._processes:
            return await self._ask(device, GET)
        return await wireguard_kernel.state(device)

    async def ended(self, device: str) -> str:
        """Return, with the reason, when the device's process ends; never for the kernel's."""
        if device not in self._processes:
            await asyncio.get_running_loop().create_future()
        status = await self._processes[device].wait()
        return f"wireguard-go of {device} ended" + (f" with status {status}" if status is not None else "")

    async def remove(self, device: str) -> None:
        """Remove a device and what carries it, known or left by an earlier daemon; absence is fine."""
        process = self._processes.pop(device, None)
        if process is not None:
            await process.stop()
        elif self._userspace is not False:
            await end_orphans("wireguard-go", device)
        await self._kernel.delete_link(device)
        _socket(device).unlink(missing_ok=True)
        (self._log_dir / f"{device}.log").unlink(missing_ok=True)

    def release(self) -> None:
        """Let go of all tunnels, which live on."""
        for process in self._processes.values():
            process.release()
        self._processes.clear()

    async def _in_userspace(self) -> bool:
        async with self._probe:
            if self._userspace is None:
                self._userspace = not await wireguard_kernel.kernel_has_wireguard(self._kernel)
        return self._userspace

    async def _configure(self, tunnel: WireguardTunnel) -> None:
        config = DeviceConfig(
            private_key=tunnel.private_key,
            listen_port=tunnel.listen_port,
            mark=self._mark,
            peer_key=tunnel.peer_key,
            endpoint=tunnel.endpoint,
            keepalive_s=tunnel.keepalive_s,
        )
        if tunnel.device in self._processes:
            await self._ask(tunnel.device, encode_config(config))
        else:
            await wireguard_kernel.send(wireguard_kernel.config_message(tunnel.device, config))

    async def _spawn(self, device: str) -> None:
        log = self._log_dir / f"{device}.log"
        try:
            SOCKETS.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise RouterError(f"cannot make {SOCKETS}: {exc.strerror}") from exc
        environment = {**os.environ, "LOG_LEVEL": "error"}
        process = DetachedProcess.spawn(["wireguard-go", "-f", device], log=log, env=environment)
        self._processes[device] = process
        ready = asyncio.create_task(_listening(_socket(device)))
        ended = asyncio.create_task(process.wait())
        try:
            await asyncio.wait({ready, ended}, timeout=_START_S, return_when=asyncio.FIRST_COMPLETED)
            if ready.done() and ready.exception() is not None:
                # It closes its socket when it fails, and then says why.
                await asyncio.wait({ended}, timeout=_LAST_WORDS_S)
            if not ready.done() or ready.exception() is not None:
                raise RouterError(f"wireguard-go does not start: {_last_words(log)}")
        finally:
            ready.cancel()
            ended.cancel()

    async def _ask(self, device: str, question: bytes) -> DeviceState:
        try:
            return await ask(_socket(device), question)
        except (ConnectionRefusedError, FileNotFoundError) as exc:
            raise RouterError(f"wireguard-go of {device} does not listen") from exc


async def _listening(socket: Path) -> None:
    """Return once wireguard-go answers on its socket."""
    await wait_for_file(socket)
    while True:
        try:
            await ask(socket, GET)
        except ConnectionRefusedError:
            # Between its bind() and its listen(), microseconds apart; there is no event for the second.
            await asyncio.sleep(0.001)
        else:
            return


def _last_words(log: Path) -> str:
    """The last line of a log, and what to do if it is the limit that many tunnels meet."""
    lines = log.read_text(errors="replace").strip().splitlines()
    text = lines[-1].strip() if lines else "it gave no reason"
    return f"{text}: {MORE_INSTANCES}" if "too many open files" in text.lower() else text


def _socket(device: str) -> Path:
    return SOCKETS / f"{device}.sock"
