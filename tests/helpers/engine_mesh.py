"""A mesh of engines in one process, with virtual time: fake transports, fake registry, real decisions.

What a real node learns from Babel is worked out from the tunnels that both ends hold.  Messages may be lost.
"""

import heapq
import ipaddress
import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from re6st_core.address import Endpoint, Protocol
from re6st_core.netparams import NetworkParameters
from re6st_core.prefix import Prefix
from re6stnet.engine.engine import Engine
from re6stnet.engine.messages import (
    AskBootstrap,
    AskEndpoints,
    Command,
    Create,
    Created,
    EndpointsChanged,
    EndpointsUnknown,
    Event,
    KeepRelay,
    NeighbourChanged,
    PeerSeen,
    PeersLearned,
    Prepare,
    Prepared,
    Received,
    Remove,
    RouteChange,
    RoutesChanged,
    Send,
    Started,
    Stopping,
    Timer,
    Undeliverable,
)

DELAY_S = 0.03
REGISTRY_REMEMBERS_S = 3600.0


@dataclass
class SimNode:
    """One engine and what surrounds it."""

    prefix: Prefix
    engine: Engine
    endpoints: tuple[Endpoint, ...]
    udp: bool = True
    alive: bool = True
    relay: bool = False
    devices: dict[str, Prefix] = field(default_factory=dict)
    routes: dict[tuple[Prefix, str], bool] = field(default_factory=dict)
    timer: float | None = None
    seen_at: float = -math.inf
    """When the registry heard of it."""


class Mesh:
    """``loss``: probability that a message does not arrive."""

    def __init__(self, *, seed: int = 1, loss: float = 0.0, client_count: int = 3) -> None:
        self.now = 0.0
        self.rng = random.Random(seed)
        self.loss = loss
        self.parameters = NetworkParameters(version=1, client_count=client_count, max_clients=20)
        self.nodes: dict[Prefix, SimNode] = {}
        self.messages = 0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._ends: dict[str, list[SimNode]] = {}
        self._dirty = False

    def add(self, *, public: bool = True, udp: bool = True) -> SimNode:
        """Start one more node."""
        prefix = Prefix(16, len(self.nodes))
        ip = ipaddress.IPv4Address("198.51.100.0") + prefix.value
        endpoints = tuple(Endpoint(ip, 1194, p) for p in Protocol) if public else ()
        engine = Engine(
            prefix,
            self.parameters,
            rng=random.Random(self.rng.random()),
            new_nonce=lambda: f"{self.rng.getrandbits(128):032x}",
        )
        node = self.nodes[prefix] = SimNode(prefix, engine, endpoints, udp)
        self.post(node, EndpointsChanged(endpoints))
        self.post(node, Started())
        return node

    def kill(self, node: SimNode) -> None:
        """The node vanishes without a word."""
        node.alive = False
        for nonce in list(node.devices):
            self._silence(nonce, node)
        node.devices.clear()
        self._reroute()

    def stop(self, node: SimNode) -> None:
        """The node leaves as it should."""
        self.post(node, Stopping())

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        end = self.now + seconds
        while self._agenda and self._agenda[0][0] <= end:
            self.now, _, work = heapq.heappop(self._agenda)
            work()
        self.now = end

    def at(self, delay_s: float, work: Callable[[], None]) -> None:
        """Do something later."""
        heapq.heappush(self._agenda, (self.now + delay_s, next(self._order), work))

    def post(self, node: SimNode, event: Event) -> None:
        """Give an event to a node."""
        if not node.alive:
            return
        for command in node.engine.handle(event, now=self.now):
            self._execute(node, command)
        timer = node.engine.next_timer()
        if timer is not None and timer != node.timer:
            node.timer = timer
            self.at(max(timer - self.now, 0.0), lambda: self._fire(node, timer))

    def components(self) -> list[set[Prefix]]:
        """Sets of living nodes that reach each other."""
        left = {n.prefix for n in self.nodes.values() if n.alive}
        found = []
        while left:
            start = next(iter(left))
            reached = self._reach(start, without=None) | {start}
            found.append(reached)
            left -= reached
        return found

    def _fire(self, node: SimNode, timer: float) -> None:
        if node.timer == timer:
            node.timer = None
            self.post(node, Timer())

    def _execute(self, node: SimNode, command: Command) -> None:
        match command:
            case Prepare():
                source = self._stun(node, command.server)
                event = Prepared(command.tunnel, f"key of {node.prefix}", source, 1000)
                self.at(DELAY_S if source else 1.4, lambda: self.post(node, event))
            case Send():
                self._send(node, command)
            case Create():
                node.devices[command.record.tunnel] = command.record.peer
                self._ends.setdefault(command.record.tunnel, []).append(node)
                self.at(DELAY_S, lambda: self.post(node, Created(command.record.tunnel)))
                self._meet(command.record.tunnel)
            case Remove():
                self._silence(command.tunnel, node)
                node.devices.pop(command.tunnel, None)
                self._reroute()
            case KeepRelay():
                node.relay = command.wanted
            case AskBootstrap():
                node.seen_at = self.now
                recent = self.now - REGISTRY_REMEMBERS_S
                others = [n for n in self.nodes.values() if n is not node and n.seen_at >= recent]
                peers = self.rng.sample(others, min(8, len(others)))
                seen = PeersLearned(tuple(PeerSeen(n.prefix, n.endpoints, n.relay) for n in peers))
                self.at(DELAY_S, lambda: self.post(node, seen))
            case AskEndpoints():
                peer = self.nodes[command.peer]
                event2: Event = EndpointsUnknown(peer.prefix)
                if peer.alive:
                    event2 = PeersLearned((PeerSeen(peer.prefix, peer.endpoints),))
                self.at(DELAY_S, lambda: self.post(node, event2))

    def _stun(self, node: SimNode, server: Endpoint | None) -> Endpoint | None:
        """Our mapped address, if the reflector exists and UDP passes at both ends."""
        if server is None:
            return None
        peer = next((n for n in self.nodes.values() if server in n.endpoints), None)
        if peer is None or not (peer.alive and peer.udp and node.udp):
            return None
        if node.endpoints:
            return node.endpoints[0]
        return Endpoint(ipaddress.IPv4Address("192.0.2.1"), 1024 + node.prefix.value, Protocol.UDP)

    def _send(self, node: SimNode, command: Send) -> None:
        self.messages += 1
        peer = self.nodes[command.message.recipient]
        routed = peer.prefix in self._reach(node.prefix, without=None)
        if not (routed or (node.relay and peer.relay) or peer.endpoints or node.endpoints):
            self.post(node, Undeliverable(command.message.nonce, "no way"))
        elif self.rng.random() >= self.loss:
            self.at(DELAY_S, lambda: self.post(peer, Received(command.message, node.prefix.value)))

    # --- what Babel would see ---------------------------------------------------------------------------

    def _both_hold(self, nonce: str) -> list[SimNode]:
        return [n for n in self._ends.get(nonce, ()) if n.alive and nonce in n.devices]

    def _meet(self, nonce: str) -> None:
        ends = self._both_hold(nonce)
        if len(ends) == 2:
            for node in ends:
                self.at(DELAY_S, partial(self._hear, node, nonce))

    def _hear(self, node: SimNode, nonce: str) -> None:
        if len(self._both_hold(nonce)) == 2:
            self.post(node, NeighbourChanged(nonce, True, 1000))
            self._reroute()

    def _silence(self, nonce: str, but: SimNode) -> None:
        for node in self._both_hold(nonce):
            if node is not but:
                self.at(3.0, partial(self.post, node, NeighbourChanged(nonce, False)))

    def _links(self, prefix: Prefix) -> list[tuple[str, Prefix]]:
        node = self.nodes[prefix]
        return [(n, p) for n, p in node.devices.items() if len(self._both_hold(n)) == 2]

    def _reach(self, start: Prefix, *, without: Prefix | None) -> set[Prefix]:
        reached, todo = set(), [start]
        while todo:
            for _, peer in self._links(todo.pop()):
                if peer not in reached and peer not in (start, without):
                    reached.add(peer)
                    todo.append(peer)
        return reached

    def _reroute(self) -> None:
        if not self._dirty:
            self._dirty = True
            self.at(0.01, self._compute_routes)

    def _compute_routes(self) -> None:
        self._dirty = False
        neighbours = {n.prefix: self._links(n.prefix) for n in self.nodes.values() if n.alive}
        for node in self.nodes.values():
            if not node.alive:
                continue
            routes: dict[tuple[Prefix, str], bool] = {}
            installed: set[Prefix] = set()
            for nonce, peer in neighbours[node.prefix]:
                for destination in {peer, *self._reach(peer, without=node.prefix)}:
                    routes[destination, nonce] = destination not in installed
                    installed.add(destination)
            changes = [
                RouteChange(d, t, 100, i) for (d, t), i in routes.items() if node.routes.get((d, t)) != i
            ]
            changes += [RouteChange(d, t, None) for d, t in node.routes.keys() - routes.keys()]
            # Removals first, as babeld does when it switches.
            changes.sort(key=lambda c: c.installed)
            node.routes = routes
            if changes:
                event = RoutesChanged(tuple(changes))
                self.at(0.0, partial(self.post, node, event))


def transports(mesh: Mesh, node: SimNode) -> set[str]:
    """Transports of a node's working tunnels."""
    return {t.transport for t in node.engine.tunnels.active()}
