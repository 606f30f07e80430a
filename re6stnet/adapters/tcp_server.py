"""Keep the OpenVPN server of the one TCP port: adopted after a restart of ours, restarted when it dies."""

import asyncio
import logging
import socket
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv6Address
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

MAX_CLIENTS = 256
"""Also those who have not shown a certificate yet: many more than members may stay, so that some strangers,
each bounded by :mod:`re6stnet.adapters.newcomers`, do not keep the members out."""
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0
RECONCILE_S = 15.0
"""A client without an accepted tunnel is sent away when it is there at two looks, so far apart."""
RENEW_S = 7 * 86400.0
"""How long the server may go on with a certificate that has been renewed: that cuts its clients off."""
_SAVED = "openvpn_server"


@dataclass(frozen=True, slots=True)
class _Saved:
    """The server as an earlier daemon started it."""

    process: Mapping[str, Any]
    port: int
    control_port: int


class TcpServer:
    """One server for the life of the node.

    ``accepted``: the CNs that have an accepted tunnel to us; any other client is sent away. None: all are.
    """

    def __init__(
        self,
        server: OpenvpnServer,
        own: Prefix,
        store: SqliteStore,
        *,
        port: int,
        accepted: Callable[[], Collection[str]] | None = None,
    ) -> None:
        self._server = server
        self._own = own
        self._store = store
        self._port = port
        self._accepted = accepted
        self._control_port = 0
        self._renewed_at: float | None = None
        """Monotonic seconds since when the server's certificate is not ours any more."""
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, control_port: int, revoked: Iterable[int]) -> bool:
        """Adopt the server if it lives with the same ports, else start it; True if adopted.

        Raises ConfigError, RouterError (port taken, openvpn missing).
        """
        self._control_port = control_port
        await self._server.set_revoked(revoked)
        if await self._adopt():
            return True
        await self._server.clear(SERVER_DEVICE)
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
            handle = OpenvpnHandle(SERVER_DEVICE, saved.process)
            if not await self._server.adopt(handle, link_local=self._link_local):
                return False
        except RouterError as exc:
            log.warning("%s", exc)
            return False
        if (saved.port, saved.control_port) == (self._port, self._control_port):
            return True
        await self._server.stop()
        return False

    async def _launch(self) -> None:
        await self._server.start(
            SERVER_DEVICE,
            port=self._port,
            control_port=self._control_port,
            max_clients=MAX_CLIENTS,
            link_local=self._link_local,
            on_spawn=self._save,
        )

    def _save(self, handle: OpenvpnHandle) -> None:
        self._store.save_value(_SAVED, encode_json(_Saved(handle.process, self._port, self._control_port)))

    @property
    def _link_local(self) -> IPv6Address:
        return link_local(SERVER_NAME, self._own)

    async def set_revoked(self, serials: Iterable[int]) -> None:
        """Refuse these certificates from now on; who is inside is sent away by :meth:`expel`.

        Raises ConfigError.
        """
        await self._server.set_revoked(serials)

    async def expel(self, cn: str) -> None:
        """Send a client away; absence is fine, and so is a server that does not answer just now."""
        try:
            if await self._server.disconnect(cn):
                log.info("OpenVPN client %s sent away", cn)
        except RouterError as exc:
            log.warning("cannot send %s away: %s", cn, exc)

    async def join(self, babeld: BabeldSupervisor, parameters: Callable[[], InterfaceParameters]) -> None:
        """Give the device to babeld, and restart the server whenever it dies from now on."""
        await babeld.add_interface(SERVER_DEVICE, parameters())
        work = [self._keep()]
        if self._accepted is not None:
            work.append(self._reconcile(self._accepted))
        self._tasks = [asyncio.get_running_loop().create_task(part) for part in work]

    async def renewed(self) -> None:
        """We have another certificate: the server is started anew once nobody is there, or in a week."""
        self._renewed_at = asyncio.get_running_loop().time()

    async def _restart_if_due(self, present: Collection[object]) -> None:
        due = self._renewed_at is not None and (
            not present or asyncio.get_running_loop().time() - self._renewed_at > RENEW_S
        )
        if due:
            self._renewed_at = None
            log.info("the OpenVPN server is started anew, with our new certificate")
            await self._server.stop()  # _keep() starts the next one

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

    async def _reconcile(self, accepted: Callable[[], Collection[str]]) -> None:
        """Who has a certificate of the network gets in; who has no tunnel, or no longer, is not to stay."""
        before: set[tuple[str, datetime]] = set()
        while True:
            await asyncio.sleep(RECONCILE_S)
            try:
                present = await self._server.clients()
            except RouterError as exc:
                log.warning("OpenVPN server: %s", exc)
                continue
            wanted = accepted()
            strangers = {(client.cn, client.since) for client in present if client.cn not in wanted}
            for cn, _ in strangers & before:
                await self.expel(cn)
            before = strangers
            await self._restart_if_due(present)

    async def stop(self) -> None:
        """Stop the server and remove its device."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
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
