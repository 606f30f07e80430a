"""One node of the model: a real engine, and around it what the daemon's shell and adapters would do."""

import random
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from netns_lab.model import wire
from netns_lab.model.babel import SAMPLE_S, Babel, Changes
from netns_lab.model.explorer import Explorer
from netns_lab.model.links import Link
from netns_lab.model.messenger import Messenger
from netns_lab.model.probes import Probes
from netns_lab.model.registrar import NOTICED_S, Registrar
from netns_lab.model.tunnel_manager import TunnelManager
from netns_lab.model.tunnels import OpenvpnCarrier
from netns_lab.model.udp_port import UdpPort
from netns_lab.model.underlay import Host
from re6st_core.netparams import NetworkParameters
from re6st_core.peer_wire import Close
from re6st_core.prefix import Prefix
from re6stnet.engine.engine import Engine
from re6stnet.engine.messages import (
    AskBootstrap,
    AskDistances,
    AskEndpoints,
    Command,
    Create,
    EndpointsChanged,
    Event,
    Join,
    KeepRelay,
    Leave,
    NeighbourChanged,
    ParametersChanged,
    PeerSeen,
    PeersLearned,
    Prepare,
    Probe,
    Remove,
    Retire,
    Retired,
    RouteChange,
    RoutesChanged,
    Send,
    Started,
    Stopping,
    Timer,
)

if TYPE_CHECKING:
    from netns_lab.model.mesh import Mesh

CLOSE_FIRST_S = 0.3
"""How long a removal waits for the word of it to leave."""
JOIN_S = 0.2
"""babeld looks at a new interface so much later."""
STOP_S = 10.0
"""How long a node that stops waits at most for that."""
EPHEMERAL = 49152
EPHEMERAL_PORTS = 64
SERIALS = 1000
"""A node's certificate has this and its index as serial number."""


@dataclass(slots=True)
class Settings:
    """How a node is set up."""

    port: int = 1194
    client_count: int | None = None
    max_clients: int | None = None
    announced: int | None = None
    """Address that the operator gave."""
    country: str | None = None
    neighbours: tuple[Prefix, ...] = ()
    lan: bool = False
    """Babel speaks on the LAN, too."""


class Node:
    """``engine`` is None while no daemon runs; tunnels and babeld live on then."""

    def __init__(self, mesh: "Mesh", index: int, host: Host, settings: Settings, seed: str) -> None:
        self.mesh = mesh
        self.index = index
        self.prefix = Prefix(16, index)
        self.name = host.name
        self.host = host
        self.settings = settings
        self.port = settings.port
        self.announced = settings.announced
        self.serial = SERIALS + index
        self.clock_offset_s = 0.0
        self.underlay = mesh.underlay
        self.tcp_server = False
        self.engine: Engine | None = None
        self.links: dict[str, Link] = {}
        self.udp = UdpPort(
            mesh.underlay, mesh.agenda, host, self.port, rng=mesh.rng, ledger=mesh.ledger, up=self._session
        )
        self._rng = random.Random(seed)
        self.babel = self._new_babel(self._rng.randrange(1 << 16))
        self.registrar = Registrar(self)
        self.messenger = Messenger(self)
        self.explorer = Explorer(self)
        self.parameters: NetworkParameters | None = None
        self._events: deque[Event] = deque()
        self._handling = False
        self._timer: float | None = None
        self.tunnels = TunnelManager(self)
        self.probes = Probes(self)
        self._closing: dict[str, Callable[[], None] | None] = {}
        self._last_words: set[str] = set()
        """Tunnels of whose end the peer is being told."""
        self._saved_peers: tuple[PeerSeen, ...] = ()
        self._ephemeral = 0
        self._life = 0
        """Grows with each daemon; what an earlier one planned is void."""
        mesh.agenda.after(self._rng.uniform(0.0, SAMPLE_S), self._sample)

    # --- life -------------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether the machine runs."""
        return self.host.alive

    def start(self) -> None:
        """Start a daemon: it adopts what an earlier one left, and follows the parameters it knows."""
        self._life += 1
        self.registrar, self.messenger = Registrar(self), Messenger(self)
        self.tcp_server = self.udp.reflects = True
        if not self.babel.running:
            self.babel = self._new_babel(self.babel.seqno)
            self.mesh.join_lan(self)
        if self.parameters is None:
            self.registrar.refresh()  # learn_parameters() goes on
        else:
            self._work(self.parameters)

    def _work(self, parameters: NetworkParameters) -> None:
        adopted = self.tunnels.records
        self.engine = Engine(
            self.prefix,
            parameters,
            rng=random.Random(self._rng.random()),
            new_nonce=lambda: f"{self._rng.getrandbits(128):032x}",
            client_count=self.settings.client_count,
            max_clients=self.settings.max_clients,
            country=self.settings.country,
            neighbours=self.settings.neighbours,
        )
        self._timer = None
        self.post(EndpointsChanged(self.registrar.endpoints))
        if self._saved_peers:
            self.post(PeersLearned(self._saved_peers))
        self.post(Started(adopted))
        self.probes.restart()
        for name, neighbour in self.babel.neighbours.items():
            self._told(name, True, round(neighbour.rtt_s * 1e6))
        routes = self.babel.routes.items()
        self._routes_changed({(d, n): (r.metric, r.refmetric) for d, rs in routes for n, r in rs.items()})

    def learn_parameters(self, parameters: NetworkParameters) -> None:
        """From the registry; older ones are ignored."""
        if self.parameters is not None and parameters.version <= self.parameters.version:
            return
        self.parameters = parameters
        if self.engine is None:
            self._work(parameters)
        else:
            self.post(ParametersChanged(parameters))

    def kill_daemon(self) -> None:
        """``kill -9`` of the daemon alone: its tunnels, OpenVPN and babeld live on."""
        self.registrar.disconnect()
        self.registrar.alive = self.messenger.alive = False
        self.udp.forget_questions()
        self.udp.reflects = False
        self.engine = None
        self._events.clear()
        self._closing.clear()
        self._last_words.clear()
        self._life += 1

    def kill(self) -> None:
        """The machine vanishes without a word."""
        registered = self.mesh.registry.relayed.get(self.index) is self
        self.host.alive = False
        self.registrar.alive = self.messenger.alive = False
        if registered:
            self.mesh.agenda.after(self.mesh.rng.uniform(*NOTICED_S), self.registrar.forgotten)
        self.engine = None
        self._events.clear()
        self._closing.clear()
        self._last_words.clear()
        self._life += 1
        self._vanish()

    def _vanish(self) -> None:
        """Nothing of the node is left but its state directory."""
        self.tcp_server = self.udp.reflects = False
        self.udp.forget_questions()
        self.babel.stop()
        for nonce in list(self.udp.devices):
            self.udp.remove(nonce)
        for link in list(self.links.values()):
            if isinstance(link.carrier, OpenvpnCarrier):
                link.carrier.connected = False
        self.tunnels.clear()
        self.mesh.moved()
        self.mesh.refresh(self)

    def revive(self) -> None:
        """The machine is back, and its daemon starts."""
        self.host.alive = True
        for name in list(self.links):
            self.mesh.unlink(name)
        self.start()

    def stop(self) -> None:
        """The daemon leaves as it should: peers are told, everything is removed."""
        self.post(Stopping())
        self.registrar.keep_relay(False)
        self._leave(self._life, self.mesh.now + STOP_S)

    def _leave(self, life: int, at_latest: float) -> None:
        """Go when the peers have been told, as far as they can be."""
        if self._life != life:
            return
        if self._last_words and self.mesh.now < at_latest:
            self.mesh.agenda.after(0.1, partial(self._leave, life, at_latest))
        else:
            self.kill_daemon()
            self._vanish()

    # --- events and commands ----------------------------------------------------------------------------

    def post(self, event: Event) -> None:
        """Give an event to the engine, in its turn."""
        if self.engine is None:
            return
        self._events.append(event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._events and self.engine is not None:
                self._handle(self.engine, self._events.popleft())
        finally:
            self._handling = False

    def _handle(self, engine: Engine, event: Event) -> None:
        trace = self.mesh.trace
        if not isinstance(event, Timer):
            trace.note(self.name, type(event).__name__, event if trace.shown else "")
        try:
            commands = engine.handle(event, now=self.mesh.agenda.now)
        except Exception:
            self.mesh.mistakes.append(f"{self.name}: {event}: {traceback.format_exc()}")
            return
        for command in commands:
            trace.note(self.name, type(command).__name__, command if trace.shown else "")
            self._execute(command)
        timer = engine.next_timer()
        if timer is not None and timer != self._timer:
            self._timer = timer
            self.mesh.agenda.at(max(timer, self.mesh.agenda.now), partial(self._fire, timer))

    def _fire(self, timer: float) -> None:
        if self._timer == timer:
            self._timer = None
            self.post(Timer())

    def later(self, delay_s: float, work: Callable[[], None]) -> None:
        """Do something, if this daemon still lives then."""
        life = self._life

        def due() -> None:
            if self._life == life:
                work()

        self.mesh.agenda.after(delay_s, due)

    def _execute(self, command: Command) -> None:  # noqa: PLR0912 - a table of kinds
        match command:
            case Prepare():
                self.tunnels.prepare(command)
            case Create():
                self.tunnels.create(command.record)
            case Join():
                self.later(JOIN_S, partial(self._join, command.tunnel))
            case Leave():
                self._leave_babel(command.tunnel)
            case Retire():
                self._leave_babel(command.tunnel)
                self.post(Retired(command.tunnel))
            case Remove():
                if command.tunnel in self._closing:
                    self._closing[command.tunnel] = partial(self.tunnels.remove, command.tunnel)
                    self.later(CLOSE_FIRST_S, partial(self._closed, command.tunnel))
                else:
                    self.tunnels.remove(command.tunnel)
            case Send(message=Close() as close):
                self._closing.setdefault(close.nonce, None)
                self._last_words.add(close.nonce)
                self.messenger.send(command, partial(self._told_end, close.nonce))
            case Send():
                self.messenger.send(command, lambda: None)
            case KeepRelay():
                self.registrar.keep_relay(command.wanted)
            case AskBootstrap():
                self.registrar.bootstrap()
            case AskEndpoints():
                self.messenger.ask_endpoints(command.peer)
            case Probe():
                self.explorer.probe(command)
            case AskDistances():
                self.explorer.ask(command)

    def _join(self, nonce: str) -> None:
        """babeld has seen the interface that it was given."""
        if (link := self.links.get(nonce)) is not None and self.babel.running:
            link.speak(self.index, True)

    def _leave_babel(self, nonce: str) -> None:
        """babeld flushes an interface; a server's device, shared by its clients, stays."""
        link = self.links.get(nonce)
        if link is None or (link.carrier.openvpn and self.tunnels.client(nonce) is None):
            return
        link.speak(self.index, False)
        self.babel.down(nonce)

    def _told_end(self, nonce: str) -> None:
        self._last_words.discard(nonce)
        self._closed(nonce)

    def _closed(self, nonce: str) -> None:
        """The word of an end has left, or that was waited for long enough."""
        remove = self._closing.pop(nonce, None)
        if remove is not None:
            remove()

    # --- what others find here ----------------------------------------------------------------------------

    def serves_openvpn(self, host: Host, port: int) -> bool:
        """Whether our OpenVPN server is what listens there."""
        return host is self.host and port == self.port and self.tcp_server

    def serves(self, host: Host, port: int) -> bool:
        """Whether our control port is found there: OpenVPN hands it what is not its own."""
        return self.serves_openvpn(host, port) and self.engine is not None

    def ephemeral_port(self) -> int:
        """A local TCP port for one call."""
        self._ephemeral = (self._ephemeral + 1) % EPHEMERAL_PORTS
        return EPHEMERAL + self._ephemeral

    # --- babeld and the relay ---------------------------------------------------------------------------

    def _new_babel(self, seqno: int) -> Babel:
        return Babel(
            self.index,
            self.name,
            agenda=self.mesh.agenda,
            rng=self.mesh.rng,
            parameters=self.mesh.parameters,
            ledger=self.mesh.ledger,
            jitter_s=lambda: self.underlay.weather.jitter_s,
            tell=self._told,
            on_routes=self._routes_changed,
            moved=self.mesh.moved,
            seqno=seqno,
        )

    def _session(self, nonce: str) -> None:
        self.mesh.refresh(self)

    def _told(self, name: str, alive: bool, rtt_us: int | None) -> None:
        if self.tunnels.holds(name):
            self.post(NeighbourChanged(name, alive, rtt_us))

    def _routes_changed(self, changes: Changes) -> None:
        """What babeld's control socket tells; routes over the LAN belong to no tunnel."""
        selected = self.babel.selected
        told = [
            RouteChange(
                self.mesh.nodes[destination].prefix,
                name,
                metrics and metrics[0],
                metrics is not None and selected.get(destination) == name,
                metrics[1] if metrics else 0,
            )
            for (destination, name), metrics in changes.items()
            if self.tunnels.holds(name) or metrics is None
        ]
        if told:
            # The newly installed ones last: what replaces must win over what is replaced.
            told.sort(key=lambda change: change.installed)
            self.post(RoutesChanged(tuple(told)))

    def _sample(self) -> None:
        self.mesh.agenda.after(SAMPLE_S, self._sample)
        if not self.alive:
            return
        if self.babel.running:
            self.babel.sample()
        ledger, pings = self.mesh.ledger, SAMPLE_S / wire.OPENVPN_PING_S
        self.probes.sample()
        for link in self.links.values():
            if isinstance(link.carrier, OpenvpnCarrier) and link.carrier.connected:
                ledger.add(self.name, "openvpn", pings * wire.OPENVPN_PING)
            elif not link.carrier.openvpn and link.alive[link.end(self.index)]:
                rekeys = SAMPLE_S / wire.WG_REKEY_S / 2  # one of the two ends begins
                ledger.add(self.name, "wireguard", rekeys * (wire.WG_INITIATION + wire.WG_RESPONSE))
        if self.registrar.relay_connected:
            beats = SAMPLE_S / wire.WEBSOCKET_BEAT_S
            ledger.add(self.name, "relay", beats * wire.over_tls(wire.WEBSOCKET_FRAME))
        if self.engine is not None:
            peers = (p for p in self.engine.peers if p.endpoints and not p.failures)
            self._saved_peers = tuple(PeerSeen(p.prefix, p.endpoints) for p in peers)

    def relay_way_s(self) -> float | None:
        """One way to the registry now."""
        registry = self.mesh.registry
        arrived = self.underlay.way(self.host, "tcp", EPHEMERAL + EPHEMERAL_PORTS, registry.address)
        if arrived is None or registry.away:
            return None
        return self.underlay.one_way_s(self.host.site, registry.host.site)

    def relay_broken(self) -> None:
        """The registry's end of the WebSocket is gone."""
        self.registrar.broken()
