"""Keep the OpenVPN server of the one TCP port: adopted after a restart of ours, restarted when it dies."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from babel_ctl.config import InterfaceParameters
from babel_ctl.supervisor import BabeldSupervisor
from re6st_core.errors import ConfigError, Re6stError, RouterError, WireError
from re6st_core.json_wire import decode_json_untrusted, encode_json
from re6st_core.prefix import Prefix
from re6stnet.adapters.openvpn import OpenvpnHandle, OpenvpnServer
from re6stnet.adapters.routing import link_local
from re6stnet.adapters.store import SqliteStore
from re6stnet.adapters.tunnels import SERVER_DEVICE, SERVER_NAME

log = logging.getLogger(__name__)

MAX_CLIENTS = 40
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0
_SAVED = "openvpn_server"


@dataclass(frozen=True, slots=True)
class _Saved:
    """The server as an earlier daemon started it."""

    process: Mapping[str, Any]
    port: int
    control_port: int


class TcpServer:
    """One server for the life of the node."""

    def __init__(self, server: OpenvpnServer, own: Prefix, store: SqliteStore, *, port: int) -> None:
        self._server = server
        self._own = own
        self._store = store
        self._port = port
        self._control_port = 0
        self._task: asyncio.Task[None] | None = None

    async def start(self, control_port: int, revoked: Iterable[int]) -> bool:
        """Adopt the server if it lives with the same ports, else start it; True if adopted.

        Raises ConfigError, RouterError (port taken, openvpn missing).
        """
        self._control_port = control_port
        await self._server.set_revoked(revoked)
        if await self._adopt():
            return True
        _check_free(self._port)
        await self._launch()
        return False

    async def _adopt(self) -> bool:
        data = self._store.value(_SAVED)
        try:
            saved = decode_json_untrusted(_Saved, data or b"")
        except WireError:
            return False
        try:
            if not await self._server.adopt(OpenvpnHandle(SERVER_DEVICE, saved.process)):
                return False
        except RouterError as exc:
            log.warning("%s", exc)
            return False
        if (saved.port, saved.control_port) == (self._port, self._control_port):
            return True
        await self._server.stop()
        return False

    async def _launch(self) -> None:
        handle = await self._server.start(
            SERVER_DEVICE,
            port=self._port,
            control_port=self._control_port,
            max_clients=MAX_CLIENTS,
            link_local=link_local(SERVER_NAME, self._own),
        )
        self._store.save_value(_SAVED, encode_json(_Saved(handle.process, self._port, self._control_port)))

    async def join(self, babeld: BabeldSupervisor, parameters: Callable[[], InterfaceParameters]) -> None:
        """Give the device to babeld, and restart the server whenever it dies from now on."""
        await babeld.add_interface(SERVER_DEVICE, parameters())
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        delay_s = FIRST_RETRY_S
        while True:
            began = loop.time()
            reason = await self._server.ended()
            if loop.time() - began > LAST_RETRY_S:
                delay_s = FIRST_RETRY_S
            log.error("%s; next start in %.0f s", reason, delay_s)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LAST_RETRY_S)
            try:
                await self._launch()
            except Re6stError as exc:
                log.error("OpenVPN server: %s", exc)

    async def stop(self) -> None:
        """Stop the server and remove its device."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._server.stop()


def _check_free(port: int) -> None:
    """Raise ConfigError if another program listens on this TCP port."""
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            probe.bind(("::", port))
        except OSError as exc:
            raise ConfigError(f"cannot listen on TCP port {port}: {exc.strerror}") from exc
