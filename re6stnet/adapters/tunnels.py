"""Make and remove what a tunnel is made of, and take over what an earlier daemon made.

    WireGuard   local port (one-port rules) -> STUN from that port -> device -> babeld
    OpenVPN     initiator: client process and TAP of its own -> babeld
                responder: the server's TAP, shared by all clients; only the neighbour's address is noted

Every tunnel is saved before the kernel is touched, and forgotten after the last trace is gone.
"""

import asyncio
import contextlib
import dataclasses
import logging
import socket
from collections.abc import Awaitable, Callable

from babel_ctl.config import InterfaceParameters
from babel_ctl.supervisor import BabeldSupervisor
from re6st_core.address import Endpoint
from re6st_core.errors import PeerError, Re6stError
from re6st_core.netparams import NetworkParameters
from re6st_core.peer_wire import WIREGUARD
from re6st_core.prefix import Prefix
from re6stnet.adapters.netlink import Kernel
from re6stnet.adapters.one_port import OnePort, Source, bind_local_port
from re6stnet.adapters.openvpn import OpenvpnClients, OpenvpnHandle
from re6stnet.adapters.routing import BabelRouting, link_local
from re6stnet.adapters.store import SqliteStore
from re6stnet.adapters.stun import probe
from re6stnet.adapters.wireguard import DeviceHandle, WireguardDevices, WireguardTunnel
from re6stnet.adapters.wireguard_key import PrivateKey
from re6stnet.engine.messages import Broken, Created, Prepare, Prepared, TunnelRecord
from re6stnet.ports import Post, SavedTunnel

log = logging.getLogger(__name__)

DEVICE_PREFIX = "re6st"
SERVER_DEVICE = DEVICE_PREFIX + "-tcp"
SERVER_NAME = "server"
"""Stands for the tunnel's name in the server's own link-local address, which all its clients share."""
POOL_SIZE = 64
"""Local UDP ports for tunnels, just above the open port; strangers cannot reach them."""
KEEPALIVE_S = 25


@dataclasses.dataclass(slots=True)
class _Local:
    """A WireGuard tunnel's local end before its device exists."""

    key: PrivateKey
    socket: socket.socket
    port: int


class TunnelManager:
    """Implements ``ports.Tunnels``; what fails is raised as a Re6stError."""

    def __init__(
        self,
        own: Prefix,
        store: SqliteStore,
        *,
        port: int,
        mark: int,
        kernel: Kernel,
        one_port: OnePort,
        wireguard: WireguardDevices,
        clients: OpenvpnClients,
        babeld: BabeldSupervisor,
        routing: BabelRouting,
        parameters: Callable[[], NetworkParameters],
        post: Post,
    ) -> None:
        self._own = own
        self._store = store
        self._pool = range(port + 1, port + 1 + POOL_SIZE)
        self._mark = mark
        self._kernel = kernel
        self._one_port = one_port
        self._wireguard = wireguard
        self._clients = clients
        self._babeld = babeld
        self._routing = routing
        self._parameters = parameters
        self._post = post
        self._local: dict[str, _Local] = {}
        self._saved: dict[str, SavedTunnel] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}

    def saved(self, nonce: str) -> SavedTunnel | None:
        """What a tunnel is made of, once it is being created."""
        return self._saved.get(nonce)

    @property
    def interface(self) -> InterfaceParameters:
        """How babeld treats a tunnel (architecture §4: the metric follows the delay)."""
        network = self._parameters()
        return InterfaceParameters(
            hello_interval_s=network.hello_s,
            rxcost=network.rxcost,
            rtt_min_ms=network.rtt_min_ms,
            rtt_max_ms=network.rtt_max_ms,
            max_rtt_penalty=network.max_rtt_penalty,
        )

    # --- life of one tunnel -----------------------------------------------------------------------------

    async def prepare(self, command: Prepare) -> None:
        """Local port and key; ask the peer's reflector where our packets come from."""
        if command.transport != WIREGUARD:
            self._post(Prepared(command.tunnel, ""))
            return
        used = {saved.local_port for saved in self._saved.values() if saved.local_port is not None}
        bound = bind_local_port(self._pool, self._mark, used=used)
        local = _Local(PrivateKey.generate(), bound, bound.getsockname()[1])
        self._local[command.tunnel] = local
        source, rtt_us = None, None
        if command.server is not None:
            await self._one_port.set_sources(local.port, [command.server])
            try:
                result = await probe(local.socket, command.server)
                source, rtt_us = result.mapped, result.rtt_us
            except PeerError as exc:
                log.debug("%s", exc)
        self._post(Prepared(command.tunnel, local.key.public, source, rtt_us))

    async def create(self, record: TunnelRecord) -> None:
        """Make the device, give it to babeld, watch over it."""
        if record.transport == WIREGUARD:
            await self._create_wireguard(record)
        elif record.initiator:
            await self._create_client(record)
        else:
            self._save(SavedTunnel(record, SERVER_DEVICE))
            self._join(record, SERVER_DEVICE)
        self._post(Created(record.tunnel))

    async def _create_wireguard(self, record: TunnelRecord) -> None:
        local = self._local.pop(record.tunnel)
        saved = self._save(SavedTunnel(record, _device(record.tunnel), local.port))
        await self._one_port.set_sources(local.port, _sources(record.endpoint))
        local.socket.close()
        handle = await self._wireguard.create(
            WireguardTunnel(
                device=saved.device,
                private_key=local.key,
                listen_port=local.port,
                peer_key=record.peer_key,
                endpoint=record.endpoint,
                mtu=record.mtu,
                link_local=link_local(record.tunnel, self._own),
                keepalive_s=KEEPALIVE_S,
            )
        )
        self._save(dataclasses.replace(saved, process=handle.process))
        self._join(record, saved.device)
        await self._babeld.add_interface(saved.device, self.interface)
        self._watch(record.tunnel, self._wireguard.ended(saved.device))

    async def _create_client(self, record: TunnelRecord) -> None:
        assert record.endpoint is not None, "an OpenVPN client connects to an endpoint"
        saved = self._save(SavedTunnel(record, _device(record.tunnel)))
        handle = await self._clients.create(saved.device, record.peer.cn, record.endpoint)
        self._save(dataclasses.replace(saved, process=handle.process))
        await self._clients.connected(saved.device, link_local=link_local(record.tunnel, self._own))
        self._join(record, saved.device)
        await self._babeld.add_interface(saved.device, self.interface)
        self._watch(record.tunnel, self._clients.ended(saved.device))

    async def remove(self, nonce: str) -> None:
        """Undo what was done for a tunnel, as far as it came; babeld first, so that routes move at once."""
        if (local := self._local.pop(nonce, None)) is not None:
            local.socket.close()
            await self._one_port.remove(local.port)
        saved = self._saved.get(nonce)
        if saved is None:
            return
        if (watch := self._watches.pop(nonce, None)) is not None:
            watch.cancel()
        self._routing.unbind(nonce)
        if saved.device != SERVER_DEVICE:
            await self._babeld.flush_interface(saved.device)
        await self._dismantle(saved)
        del self._saved[nonce]
        self._store.forget_tunnel(nonce)

    async def _dismantle(self, saved: SavedTunnel) -> None:
        if saved.record.transport == WIREGUARD:
            await self._wireguard.remove(saved.device)
        elif saved.device != SERVER_DEVICE:
            await self._clients.remove(saved.device)
        if saved.local_port is not None:
            await self._one_port.remove(saved.local_port)

    # --- after a restart --------------------------------------------------------------------------------

    async def adopt(self, *, server_lives: bool) -> tuple[TunnelRecord, ...]:
        """Take over the tunnels of an earlier daemon, remove what is left of broken ones.

        To be called before babeld and the one-port rules are used; ``server_lives``: OpenVPN's server was
        adopted, and with it those who are connected to it.
        """
        for saved in self._store.tunnels():
            if await self._whole(saved, server_lives):
                self._saved[saved.record.tunnel] = saved
            else:
                with contextlib.suppress(Re6stError):
                    await self._dismantle(saved)
                self._store.forget_tunnel(saved.record.tunnel)
        await self._one_port.start(
            {
                s.local_port: _sources(s.record.endpoint)
                for s in self._saved.values()
                if s.local_port is not None
            }
        )
        return tuple(saved.record for saved in self._saved.values())

    async def resume(self) -> None:
        """Tell babeld's follower about the adopted tunnels, and watch over them; babeld runs by now."""
        for saved in self._saved.values():
            record = saved.record
            self._join(record, saved.device)
            if saved.device == SERVER_DEVICE:
                continue
            await self._babeld.add_interface(saved.device, self.interface)
            carrier = self._wireguard if record.transport == WIREGUARD else self._clients
            self._watch(record.tunnel, carrier.ended(saved.device))

    async def _whole(self, saved: SavedTunnel, server_lives: bool) -> bool:
        if saved.record.transport == WIREGUARD:
            return await self._wireguard.adopt(DeviceHandle(saved.device, saved.process))
        if saved.device == SERVER_DEVICE:
            return server_lives
        if saved.process is None or not await self._clients.adopt(OpenvpnHandle(saved.device, saved.process)):
            return False
        return bool(await self._kernel.links(saved.device))

    # --- helpers ----------------------------------------------------------------------------------------

    def _save(self, saved: SavedTunnel) -> SavedTunnel:
        self._saved[saved.record.tunnel] = saved
        self._store.save_tunnel(saved)
        return saved

    def _join(self, record: TunnelRecord, device: str) -> None:
        """The peer's address on the tunnel is known beforehand: babeld's neighbours are told apart by it."""
        at_server = record.transport != WIREGUARD and record.initiator
        name = SERVER_NAME if at_server else record.tunnel
        self._routing.bind(record.tunnel, device, link_local(name, record.peer))

    def _watch(self, nonce: str, ended: Awaitable[str]) -> None:
        async def watch() -> None:
            self._post(Broken(nonce, await ended))

        self._watches[nonce] = asyncio.get_running_loop().create_task(watch())


def _device(nonce: str) -> str:
    """A device name that is unique on a machine: wireguard-go's socket directory is shared by namespaces."""
    return DEVICE_PREFIX + nonce[:8]


def _sources(endpoint: Endpoint | None) -> list[Source]:
    """Where the peer's packets may come from: as announced, else, behind an odd NAT, any of its ports."""
    return [] if endpoint is None else [endpoint, endpoint.ip]
