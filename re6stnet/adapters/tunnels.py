"""Make and remove what a tunnel is made of, and take over what an earlier daemon made.

    WireGuard   local port (one-port rules) -> STUN from that port -> device -> probes -> babeld
    OpenVPN     initiator: client process and TAP of its own -> probes -> babeld
                responder: the server's TAP, shared by all clients and always in babeld; the peer is probed

babeld gets a device when the engine says so: not before the peer has answered a probe.  WireGuard keeps what
is sent while it has no session yet and delivers it after the handshake; Babel's first hello would be seconds
old then, its age be taken for the delay of the link (RFC 9616), and a minute pass until it is used.

Every tunnel is saved before the kernel is touched, and forgotten after the last trace is gone.
"""

import asyncio
import contextlib
import dataclasses
import logging
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address

from babel_ctl.config import InterfaceParameters
from babel_ctl.supervisor import BabeldSupervisor
from re6st_core.address import Endpoint
from re6st_core.errors import PeerError, Re6stError, RouterError
from re6st_core.netparams import NetworkParameters
from re6st_core.peer_wire import WIREGUARD
from re6st_core.prefix import Prefix
from re6stnet.adapters.babel_key import KEY_NAME
from re6stnet.adapters.mtu_keeper import MtuKeeper
from re6stnet.adapters.netlink import Kernel
from re6stnet.adapters.one_port import OnePort, Source, bind_local_port, local_ports
from re6stnet.adapters.openvpn import OpenvpnClients, OpenvpnHandle
from re6stnet.adapters.prober import Prober
from re6stnet.adapters.routing import BabelRouting, link_local
from re6stnet.adapters.store import SqliteStore
from re6stnet.adapters.stun import probe
from re6stnet.adapters.wireguard import DeviceHandle, WireguardDevices, WireguardTunnel
from re6stnet.adapters.wireguard_key import PrivateKey
from re6stnet.engine.messages import Broken, Created, PeerMoved, Prepare, Prepared, Retired, TunnelRecord
from re6stnet.ports import Post, SavedTunnel

log = logging.getLogger(__name__)

DEVICE_PREFIX = "re6st"
SERVER_DEVICE = DEVICE_PREFIX + "-tcp"
SERVER_NAME = "server"
"""Stands for the tunnel's name in the server's own link-local address, which all its clients share."""
POOL_SIZE = 64
"""Local UDP ports for tunnels, next to the open port; strangers cannot reach them."""
KEEPALIVE_S = 25
UPDATE_S = 4.0
"""Of all routes; what changes is told at once."""
TCP_HELLO_S, TCP_HELLO_SHARE = 1.0, 0.75
"""A silent client is given up after 2.5 to 3.6 of its hellos (docs/decisions/0008-babeld-settings.md)."""


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
        expel: Callable[[str], Awaitable[None]],
        prober: Prober,
        mtu: MtuKeeper,
    ) -> None:
        """``expel`` sends the client of a CN away from our OpenVPN server."""
        self._own = own
        self._store = store
        self._pool = local_ports(port, POOL_SIZE)
        self._mark = mark
        self._kernel = kernel
        self._one_port = one_port
        self._wireguard = wireguard
        self._clients = clients
        self._babeld = babeld
        self._routing = routing
        self._parameters = parameters
        self._post = post
        self._expel = expel
        self._prober = prober
        self._mtu = mtu
        self._local: dict[str, _Local] = {}
        self._saved: dict[str, SavedTunnel] = {}
        self._half_removed: set[str] = set()
        """Tunnels that a step of their removal left behind; their local ports may be used all the same."""
        self._broken: list[SavedTunnel] = []
        self._watches: dict[str, asyncio.Task[None]] = {}

    def saved(self, nonce: str) -> SavedTunnel | None:
        """What a tunnel is made of, once it is being created."""
        return self._saved.get(nonce)

    def tcp_clients(self) -> frozenset[str]:
        """CNs of the peers that have a tunnel to our OpenVPN server."""
        return frozenset(s.record.peer.cn for s in self._saved.values() if s.device == SERVER_DEVICE)

    @property
    def interface(self) -> InterfaceParameters:
        """How babeld treats a tunnel (architecture §4: the metric follows the delay)."""
        network = self._parameters()
        return InterfaceParameters(
            hello_interval_s=network.hello_s,
            update_interval_s=max(UPDATE_S, network.hello_s),
            rxcost=network.rxcost,
            rtt_min_ms=network.rtt_min_ms,
            rtt_max_ms=network.rtt_max_ms,
            max_rtt_penalty=network.max_rtt_penalty,
            # One peer on each device: what we go through it for is no news to it.  A babeld that starts anew,
            # and has forgotten its feasibility distances, would believe it, and send our packets back.
            split_horizon=True,
            key=KEY_NAME if network.mac_epoch else None,
        )

    @property
    def tcp_interface(self) -> InterfaceParameters:
        """The same for OpenVPN's devices.  No client can be taken from the server's: hellos must tell there.

        A client's hellos, by which the server's babeld gives it up, come a little more often.
        """
        hello_s = TCP_HELLO_SHARE * min(self._parameters().hello_s, TCP_HELLO_S)
        return dataclasses.replace(
            self.interface, hello_interval_s=hello_s, link_quality=False, split_horizon=False
        )

    def _interface(self, saved: SavedTunnel) -> InterfaceParameters:
        return self.interface if saved.record.transport == WIREGUARD else self.tcp_interface

    # --- life of one tunnel -----------------------------------------------------------------------------

    async def prepare(self, command: Prepare) -> None:
        """Local port and key; ask the peer's reflector where our packets come from."""
        if command.transport != WIREGUARD:
            self._post(Prepared(command.tunnel, ""))
            return
        whole = self._saved.keys() - self._half_removed
        used = {port for nonce in whole if (port := self._saved[nonce].local_port) is not None}
        bound = bind_local_port(self._pool, self._mark, used=used)
        local = _Local(PrivateKey.generate(), bound, bound.getsockname()[1])
        self._local[command.tunnel] = local
        source, rtt_us = None, None
        if command.server is not None:
            # What the tunnel will need too, unless the answer names another source: no second transaction.
            await self._one_port.set_sources(local.port, _sources(command.server))
            try:
                result = await probe(local.socket, command.server)
                source, rtt_us = result.mapped, result.rtt_us
            except PeerError as exc:
                log.debug("%s", exc)
        self._post(Prepared(command.tunnel, local.key.public, source, rtt_us))

    async def create(self, record: TunnelRecord) -> None:
        """Make the device, probe the peer on it, watch over it."""
        if record.transport == WIREGUARD:
            await self._create_wireguard(record)
        elif record.initiator:
            await self._create_client(record)
        else:
            self._bind(self._save(SavedTunnel(record, SERVER_DEVICE)))
        self._post(Created(record.tunnel))

    async def _create_wireguard(self, record: TunnelRecord) -> None:
        local = self._local.pop(record.tunnel)
        saved = self._save(SavedTunnel(record, _device(record.tunnel), local.port))
        try:
            await self._one_port.set_sources(local.port, _sources(record.endpoint))
        finally:
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
        self._bind(self._save(dataclasses.replace(saved, process=handle.process)))
        self._watch(saved)

    async def _create_client(self, record: TunnelRecord) -> None:
        assert record.endpoint is not None, "an OpenVPN client connects to an endpoint"
        saved = self._save(SavedTunnel(record, _device(record.tunnel)))
        handle = await self._clients.create(saved.device, record.peer.cn, record.endpoint)
        self._save(dataclasses.replace(saved, process=handle.process))
        await self._clients.connected(saved.device, link_local=link_local(record.tunnel, self._own))
        self._bind(saved)
        self._watch(saved)

    async def join(self, nonce: str) -> None:
        """Give the device to babeld, with the MTU that the path takes."""
        saved = self._saved[nonce]
        if saved.record.transport == WIREGUARD:
            await self._mtu.settle(nonce, saved.device, self._peer_address(saved), saved.record.mtu)
        if saved.device != SERVER_DEVICE:
            # Whoever removes the tunnel meanwhile flushes the interface after it was added.
            await asyncio.shield(self._babeld.add_interface(saved.device, self._interface(saved)))

    async def leave(self, nonce: str) -> None:
        """Take the device from babeld, unless it is our server's: Babel's hellos must do there."""
        saved = self._saved[nonce]
        if saved.device != SERVER_DEVICE:
            await asyncio.shield(self._babeld.flush_interface(saved.device))

    async def retire(self, nonce: str) -> None:
        """The same for good; what comes is still carried."""
        if nonce in self._saved:
            await self.leave(nonce)
        self._post(Retired(nonce))

    async def remove(self, nonce: str) -> None:
        """Undo what was done for a tunnel, as far as it came; babeld first, so that routes move at once.

        A step that fails does not keep the others from being done; then the tunnel stays known, and may be
        removed again.
        """
        if (task := self._watches.pop(nonce, None)) is not None:
            task.cancel()
            await asyncio.wait([task])
        self._prober.remove(nonce)
        self._mtu.forget(nonce)
        self._routing.unbind(nonce)
        local, saved = self._local.pop(nonce, None), self._saved.get(nonce)
        if local is not None:
            local.socket.close()
        if saved is not None:
            self._half_removed.add(nonce)
            await self._dismantle(saved)
            self._half_removed.discard(nonce)
            self._saved.pop(nonce, None)
            if saved.device == SERVER_DEVICE and saved.record.peer.cn not in self.tcp_clients():
                await self._expel(saved.record.peer.cn)
            self._store.forget_tunnel(nonce)
        elif local is not None:
            await self._one_port.remove(local.port)

    async def moved(self) -> None:
        """This host has other addresses: leave from them; the next probe shows every peer where we are."""
        for saved in [s for s in self._saved.values() if s.record.transport == WIREGUARD]:
            try:
                await self._wireguard.forget_source(saved.device, saved.record.peer_key)
            except RouterError as exc:
                log.warning("%s", exc)

    async def follow_peers(self) -> None:
        """Note where peers have moved to under their tunnels: for handshakes, and for the next daemon."""
        for saved in [s for s in self._saved.values() if s.record.transport == WIREGUARD]:
            try:
                at = (await self._wireguard.state(saved.device)).endpoint
                before = saved.record.endpoint
                if at is None or (before and (at.ip, at.port) == (before.ip, before.port)):
                    continue
                if self._saved.get(saved.record.tunnel) is saved and saved.local_port is not None:
                    record = dataclasses.replace(saved.record, endpoint=at)
                    self._save(dataclasses.replace(saved, record=record))
                    await self._one_port.set_sources(saved.local_port, _sources(at))
                    self._post(PeerMoved(record.tunnel, at))
            except RouterError as exc:
                log.debug("%s", exc)  # it is being removed, or its owner will hear of its end

    async def close(self) -> None:
        """Remove what is left when the node ends, as well as it goes."""
        for nonce in [*self._saved, *self._local]:
            try:
                await self.remove(nonce)
            except Re6stError as exc:
                log.error("tunnel %s: %s", nonce[:8], exc)

    async def _dismantle(self, saved: SavedTunnel) -> None:
        async with contextlib.AsyncExitStack() as last_first:
            if saved.local_port is not None:
                last_first.push_async_callback(self._one_port.remove, saved.local_port)
            if saved.device != SERVER_DEVICE:
                last_first.push_async_callback(self._carrier(saved).remove, saved.device)
                last_first.push_async_callback(self._babeld.flush_interface, saved.device)

    # --- after a restart --------------------------------------------------------------------------------

    async def adopt(self, *, server_lives: bool) -> tuple[TunnelRecord, ...]:
        """Take over the tunnels of an earlier daemon; what is left of broken ones goes in :meth:`resume`.

        To be called before babeld and the one-port rules are used; ``server_lives``: OpenVPN's server was
        adopted, and with it those who are connected to it.
        """
        for saved in self._store.tunnels():
            if await self._whole(saved, server_lives):
                self._saved[saved.record.tunnel] = saved
            else:
                self._broken.append(saved)
        await self._one_port.start(
            {
                s.local_port: _sources(s.record.endpoint)
                for s in self._saved.values()
                if s.local_port is not None
            }
        )
        return tuple(saved.record for saved in self._saved.values())

    async def resume(self) -> None:
        """Tell babeld and its follower about the adopted tunnels, and watch over them; babeld runs by now."""
        for broken in self._broken:
            try:
                await self._dismantle(broken)
            except Re6stError as exc:
                log.error("cannot remove the broken %s: %s", broken.device, exc)
            else:
                self._store.forget_tunnel(broken.record.tunnel)
        self._broken.clear()
        for saved in self._saved.values():
            try:
                self._bind(saved)
            except RouterError as exc:
                self._post(Broken(saved.record.tunnel, str(exc)))
                continue
            if saved.device != SERVER_DEVICE:
                await self._babeld.add_interface(saved.device, self._interface(saved))
                self._watch(saved)
            if saved.record.transport == WIREGUARD:
                self._mtu.watch(saved.record.tunnel, saved.device, self._peer_address(saved))

    async def _whole(self, saved: SavedTunnel, server_lives: bool) -> bool:
        if saved.device == SERVER_DEVICE:
            return server_lives
        try:
            if saved.record.transport == WIREGUARD:
                return await self._wireguard.adopt(DeviceHandle(saved.device, saved.process))
            if saved.process is None:
                return False
            adopted = await self._clients.adopt(OpenvpnHandle(saved.device, saved.process))
            return adopted and bool(await self._kernel.links(saved.device))
        except Re6stError as exc:
            log.warning("%s", exc)
            return False

    # --- helpers ----------------------------------------------------------------------------------------

    def _save(self, saved: SavedTunnel) -> SavedTunnel:
        self._saved[saved.record.tunnel] = saved
        self._store.save_tunnel(saved)
        return saved

    def _bind(self, saved: SavedTunnel) -> None:
        """The peer's address on the tunnel is known beforehand: babeld's neighbours are told apart by it."""
        address = self._peer_address(saved)
        self._routing.bind(saved.record.tunnel, saved.device, address)
        self._prober.add(saved.record.tunnel, saved.device, address)

    @staticmethod
    def _peer_address(saved: SavedTunnel) -> IPv6Address:
        record = saved.record
        at_server = record.transport != WIREGUARD and record.initiator
        return link_local(SERVER_NAME if at_server else record.tunnel, record.peer)

    def _carrier(self, saved: SavedTunnel) -> WireguardDevices | OpenvpnClients:
        return self._wireguard if saved.record.transport == WIREGUARD else self._clients

    def _watch(self, saved: SavedTunnel) -> None:
        async def watch() -> None:
            self._post(Broken(saved.record.tunnel, await self._carrier(saved).ended(saved.device)))

        self._watches[saved.record.tunnel] = asyncio.get_running_loop().create_task(watch())


def _device(nonce: str) -> str:
    """A device name that is unique on a machine: wireguard-go's socket directory is shared by namespaces."""
    return DEVICE_PREFIX + nonce[:8]


def _sources(endpoint: Endpoint | None) -> list[Source]:
    """Where the peer's packets may come from: as announced, else, behind an odd NAT, any of its ports."""
    return [] if endpoint is None else [endpoint, endpoint.ip]
