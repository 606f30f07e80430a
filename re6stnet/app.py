"""Put the node together: choose the adapters, start them in order, stop them in reverse.

    start   state lock -> certificate -> parameters -> kernel -> OpenVPN server -> tunnels adopted -> babeld
    stop    tunnels (peers are told) -> babeld -> one-port rules -> OpenVPN server -> kernel as it was before

After SIGTERM nothing of the node remains.  After a kill -9 everything lives on, and the next start adopts it.
"""

import asyncio
import contextlib
import logging
import random
import re
import secrets
import shutil
import signal
import time
from asyncio import sslproto
from collections.abc import Awaitable, Collection, Coroutine
from ipaddress import IPv6Interface
from typing import Any

from babel_ctl.config import LAN, BabeldConfig
from babel_ctl.process import PACKAGES
from babel_ctl.supervisor import BabeldSupervisor
from re6st_core.address import Endpoint, IPAddress, Protocol
from re6st_core.errors import ConfigError
from re6st_core.netparams import NetworkParameters
from re6st_core.peer_wire import WIREGUARD
from re6stnet.adapters import newcomers, openvpn, restart
from re6stnet.adapters.explorer import Explorer
from re6stnet.adapters.forwarding import enable_forwarding, restore_forwarding
from re6stnet.adapters.messenger import PeerMessenger, new_nonce
from re6stnet.adapters.moving import follow_addresses, follow_peers
from re6stnet.adapters.mtu_keeper import MtuKeeper
from re6stnet.adapters.netlink import Kernel
from re6stnet.adapters.one_port import OnePort
from re6stnet.adapters.openvpn import OpenvpnClients, OpenvpnServer
from re6stnet.adapters.peer_api import PEER_PORT, PeerApi
from re6stnet.adapters.prober import Prober
from re6stnet.adapters.proving import Prover
from re6stnet.adapters.registrar import Registrar
from re6stnet.adapters.relay import Relay
from re6stnet.adapters.routing import BabelRouting
from re6stnet.adapters.spreading import Spreader
from re6stnet.adapters.status import serve
from re6stnet.adapters.store import SqliteStore
from re6stnet.adapters.stun import StunReflector
from re6stnet.adapters.tcp_server import TcpServer
from re6stnet.adapters.traffic import TrafficCounter
from re6stnet.adapters.tunnels import DEVICE_PREFIX, TunnelManager
from re6stnet.adapters.wireguard import WireguardDevices
from re6stnet.adapters.wireguard_kernel import kernel_has_wireguard
from re6stnet.engine.engine import Engine
from re6stnet.engine.messages import AddressesChanged, EndpointsChanged, PeerSeen, PeersLearned, TunnelRecord
from re6stnet.explanation import Explainer
from re6stnet.membership import Membership
from re6stnet.node import Events, Node
from re6stnet.report import Reporter
from re6stnet.settings import Settings
from registry.client import RegistryClient

log = logging.getLogger(__name__)

MARK = 0x7265
"""fwmark of everything that travels on the underlay ("re")."""
SAVE_PEERS_S = 5.0
TLS_BUFFER = 32 * 1024
_CONTROL_PORT = "control_port"


def run(settings: Settings) -> int:
    """Run the node until SIGTERM or SIGINT; 0 then.  Raises Re6stError if it cannot start."""
    # asyncio clears 256 KiB for each TLS connection; a TLS record has 16 KiB at most (RFC 8446 §5.1).
    sslproto.SSLProtocol.max_size = TLS_BUFFER
    return asyncio.run(_run(settings))


async def _run(settings: Settings) -> int:
    for directory in (settings.run, settings.log):
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as exc:
            raise ConfigError(f"cannot create {directory}: {exc.strerror}") from exc
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with contextlib.closing(SqliteStore(settings.state)) as store:
        async with contextlib.AsyncExitStack() as stack:
            await Daemon(settings, store).work(stack, stop)
            log.info("stopping")
    return 0


class Daemon:
    """One node of one network."""

    def __init__(self, settings: Settings, store: SqliteStore) -> None:
        """Raises CertificateError for credentials that do not fit."""
        self._settings = settings
        self._store = store
        self._started = time.monotonic()
        self._rng = random.Random(secrets.randbits(64))  # noqa: S311 - spreads retries and choices, no secret
        self._events = Events()
        self._members = Membership(settings, store, self._events.post, mark=MARK, rng=self._rng)
        self._identity = self._members.identity
        self._address = self._identity.network.address(self._identity.prefix)
        self._files = openvpn.Credentials(settings.ca, settings.cert, settings.key)
        self._adopted: tuple[TunnelRecord, ...] = ()
        self._tunnels: TunnelManager
        self._relay: Relay

    async def work(self, stack: contextlib.AsyncExitStack, stop: asyncio.Event) -> None:
        """Start, then work until ``stop``; what must be undone is on ``stack``."""
        client = self._members.registry_client(stack)
        kernel = await Kernel.open()
        stack.push_async_callback(kernel.close)
        await _check_programs(kernel)
        registrar = self._registrar(client, kernel)
        stack.callback(registrar.close)
        await self._members.start_http(stack)
        if not await _until(stop, registrar.first_parameters()):
            return
        assert self._members.keeper.parameters is not None
        if not await _until(stop, self._members.babel_keys.first()):
            return
        await self._set_kernel(stack, kernel)
        node, routing, babeld, spreader, prover = await self._start(
            stack, client, kernel, registrar, self._members.keeper.parameters
        )
        await _until(
            stop,
            node.run(self._adopted),
            routing.follow(babeld.client),
            registrar.refresh(),
            spreader.run(),
            self._members.renew(),
            self._members.babel_keys.run(babeld.set_key),
            prover.run(),
            self._follow_addresses(kernel),
            follow_peers(self._tunnels.follow_peers),
            self._traffic.follow(),
            self._remember_peers(node.engine),
        )

    def _usable(self, endpoint: Endpoint) -> bool:
        """Whether a tunnel may go there: never inside the overlay, nor to this host itself."""
        ip = endpoint.ip
        return ip not in self._identity.network.cidr and not (ip.is_loopback or ip.is_reserved)

    @property
    def _protocols(self) -> tuple[Protocol, ...]:
        """What to announce: TCP always, for messages; who sees no UDP endpoint of ours offers OpenVPN."""
        return tuple(Protocol) if WIREGUARD in self._settings.transports else (Protocol.TCP,)

    async def _follow_addresses(self, kernel: Kernel) -> None:
        async def moved() -> None:
            await self._tunnels.moved()
            self._relay.reconnect()
            self._events.post(AddressesChanged())

        await follow_addresses(kernel.address_events, lambda: self._own_addresses(kernel), moved)

    def _own_addresses(self, kernel: Kernel) -> Awaitable[Collection[IPAddress]]:
        return kernel.underlay_addresses(self._identity.network.cidr, tunnel_prefix=DEVICE_PREFIX)

    def _registrar(self, client: RegistryClient, kernel: Kernel) -> Registrar:
        return Registrar(
            client,
            self._members.keeper,
            port=self._settings.port,
            announced=self._settings.ip,
            country=self._settings.country,
            protocols=self._protocols,
            own_addresses=lambda: self._own_addresses(kernel),
            rng=self._rng,
            memory=self._store,
            post=self._events.post,
        )

    async def _set_kernel(self, stack: contextlib.AsyncExitStack, kernel: Kernel) -> None:
        """Address, routes and rules of the node, for as long as it works."""
        network, device = self._identity.network, self._settings.main_interface
        own = IPv6Interface((self._address, network.subnet(self._identity.prefix).prefixlen))
        memory = self._settings.state / "forwarding.json"
        # Each is to be undone even if it or a later one fails half-way.
        stack.callback(restore_forwarding, memory)
        enable_forwarding(memory)
        await kernel.bring_up("lo", mtu=65536)
        stack.push_async_callback(kernel.remove_unreachable, network.cidr)
        await kernel.add_unreachable(network.cidr)
        stack.push_async_callback(kernel.unprotect_underlay, network.cidr, MARK)
        await kernel.protect_underlay(network.cidr, MARK)
        stack.push_async_callback(kernel.remove_address, device, own)
        await kernel.add_address(device, own)

    async def _start(
        self,
        stack: contextlib.AsyncExitStack,
        client: RegistryClient,
        kernel: Kernel,
        registrar: Registrar,
        parameters: NetworkParameters,
    ) -> tuple[Node, BabelRouting, BabeldSupervisor, Spreader, Prover]:
        engine = Engine(
            self._identity.prefix,
            parameters,
            rng=self._rng,
            new_nonce=new_nonce,
            client_count=self._settings.client_count,
            max_clients=self._settings.max_clients,
            transports=self._settings.transports,
            usable=self._usable,
            country=self._settings.country,
            neighbours=self._settings.neighbours,
        )
        relay = self._relay = Relay(client.relay, self._rng)
        messenger = PeerMessenger(
            self._members.credentials,
            relay,
            self._members.http,
            is_routed=engine.routes.is_reachable,
            revoked=lambda: self._members.keeper.revoked,
            now=self._members.clock.now,
            post=self._events.post,
        )
        stack.callback(messenger.close)
        relay.on_frame = lambda frame: (
            registrar.told(frame.version) if frame.version else messenger.relayed(frame)
        )
        stack.push_async_callback(relay.close)
        spreader = self._members.spreader(lambda: {tunnel.peer for tunnel in engine.tunnels.active()})
        api = self._members.api(stack, lambda: registrar.endpoints, messenger.handle, spreader)
        explorer = Explorer(
            self._identity.network,
            mark=MARK,
            respond=engine.distances.answer,
            peers=lambda: [tunnel.peer for tunnel in engine.tunnels.active()],
            post=self._events.post,
        )
        stack.callback(explorer.close)
        self._traffic = TrafficCounter(
            self._identity.network,
            self._identity.prefix,
            self._settings.port,
            reachable=lambda: engine.routes.reachable,
            post=self._events.post,
        )
        stack.push_async_callback(self._traffic.stop)
        await self._traffic.start()
        babeld = BabeldSupervisor(self._babeld_config(parameters))
        routing = BabelRouting(self._identity.network, self._events.post, hold=babeld.holder.follow)
        one_port = OnePort(self._settings.port, MARK)
        server = TcpServer(
            OpenvpnServer(kernel, self._settings.run, self._settings.log, self._files, MARK),
            self._identity.prefix,
            self._store,
            port=self._settings.port,
            accepted=lambda: tunnels.tcp_clients(),  # noqa: PLW0108 - made below
        )
        prober = Prober(self._events.post)
        stack.callback(prober.close)
        prober.start()
        tunnels = self._tunnels = TunnelManager(
            self._identity.prefix,
            self._store,
            port=self._settings.port,
            mark=MARK,
            kernel=kernel,
            one_port=one_port,
            wireguard=WireguardDevices(kernel, self._settings.log, MARK),
            clients=OpenvpnClients(kernel, self._settings.log, self._files, MARK),
            babeld=babeld,
            routing=routing,
            parameters=lambda: engine.parameters,
            post=self._events.post,
            expel=server.expel,
            prober=prober,
            mtu=MtuKeeper(kernel, self._events.post, rng=self._rng),
        )
        stack.push_async_callback(server.stop)
        await newcomers.limit(self._settings.port)
        stack.push_async_callback(newcomers.lift, self._settings.port)
        server_lives = await server.start(await self._listen_underlay(api), parameters.revoked)
        stack.push_async_callback(one_port.stop)
        stack.push_async_callback(tunnels.close)
        self._adopted = await tunnels.adopt(server_lives=server_lives)
        stack.callback(StunReflector.open(self._settings.port, MARK).close)
        stack.push_async_callback(babeld.stop)
        await babeld.start()
        await self._members.babel_keys.install(babeld.set_key)
        await server.join(babeld, lambda: tunnels.tcp_interface)
        self._members.on_renewed(server.renewed)
        self._members.keeper.followers.append(lambda newest: server.set_revoked(newest.revoked))
        await tunnels.resume()
        await api.listen(str(self._address), PEER_PORT)
        explorer.open(str(self._address))
        node = Node(
            engine,
            self._events,
            tunnels=tunnels,
            messenger=messenger,
            explorer=explorer,
            keep_relay=relay.keep,
            bootstrap=registrar.bootstrap,
        )
        stack.push_async_callback(node.stop)
        self._first_events(registrar)
        reporter = Reporter(
            node=node,
            settings=self._settings,
            members=self._members,
            registrar=registrar,
            routing=routing,
            tunnels=tunnels,
            prober=prober,
            explorer=explorer,
            babeld=babeld,
            relay=relay,
            post=self._events.post,
            started=self._started,
        )
        prover = self._members.make_prover(lambda: engine.routes.reachable - {self._identity.prefix})
        explainer = Explainer(
            own=self._identity.prefix,
            network=self._identity.network,
            node=node,
            routing=routing,
            prover=prover,
        )
        local = await serve(
            self._settings.status_socket, reporter.status, explainer.why, reporter.rotate, restart.prepare
        )
        stack.callback(self._settings.status_socket.unlink, missing_ok=True)
        stack.callback(local.close)
        log.info("node %s of %s: address %s", self._identity.prefix, self._identity.network, self._address)
        return node, routing, babeld, spreader, prover

    async def _listen_underlay(self, api: PeerApi) -> int:
        """Listen where OpenVPN hands over what arrives on the one TCP port; the same port after a restart."""
        saved = self._store.value(_CONTROL_PORT) or b""
        wanted = int(saved) if re.fullmatch(rb"[0-9]{1,4}|[1-5][0-9]{4}", saved) else 0
        try:
            port = await api.listen("127.0.0.1", wanted)
        except ConfigError:
            port = await api.listen("127.0.0.1", 0)  # taken meanwhile: OpenVPN will be restarted
        self._store.save_value(_CONTROL_PORT, str(port).encode())
        return port

    def _babeld_config(self, parameters: NetworkParameters) -> BabeldConfig:
        settings, identity = self._settings, self._identity
        return BabeldConfig(
            control_socket=settings.babel_socket,
            state_file=settings.state / "babeld.state",
            log_file=settings.log / "babeld.log",
            network=identity.network.cidr,
            subnet=identity.network.subnet(identity.prefix),
            address=self._address,
            hello_interval_s=parameters.hello_s,
            interfaces=tuple((name, LAN) for name in settings.interfaces),
        )

    def _first_events(self, registrar: Registrar) -> None:
        self._events.post(EndpointsChanged(registrar.endpoints))
        remembered = tuple(PeerSeen(prefix, endpoints) for prefix, endpoints in self._store.peers())
        if remembered:
            self._events.post(PeersLearned(remembered))

    async def _remember_peers(self, engine: Engine) -> None:
        """Keep the cache on disk near what the engine knows, and up to its last moment.

        It is what brings the node back when it is started again while the registry is away.
        """
        saved: list[Any] = []

        def save() -> list[Any]:
            peers = [(p.prefix, p.endpoints) for p in engine.peers if p.endpoints and not p.failures]
            if peers and peers != saved:
                self._store.save_peers(peers)
                return peers
            return saved

        try:
            while True:
                await asyncio.sleep(SAVE_PEERS_S)
                saved = save()
        finally:
            save()


async def _check_programs(kernel: Kernel) -> None:
    """Raise ConfigError that names every program that is missing, with its package."""
    wanted = {**PACKAGES, "nft": "nftables"}
    missing = {name: package for name, package in wanted.items() if shutil.which(name) is None}
    if "wireguard-go" in missing and await kernel_has_wireguard(kernel):
        del missing["wireguard-go"]
    if missing:
        raise ConfigError(
            *(f"program not found: {name}: install the Debian package {missing[name]}" for name in missing)
        )


async def _until(stop: asyncio.Event, *work: Coroutine[Any, Any, Any]) -> bool:
    """Work until one part ends or ``stop``; False if it was ``stop``.  A failure of a part is raised."""
    tasks = [asyncio.create_task(part) for part in work]
    waiter = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait([waiter, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {waiter}:
            task.result()
        return waiter not in done
    finally:
        for task in (waiter, *tasks):
            task.cancel()
        await asyncio.gather(waiter, *tasks, return_exceptions=True)
