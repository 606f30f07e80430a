"""The whole model: nodes, registry and underlay under one clock; what can happen to them; who reaches whom.

Deterministic: equal seeds and equal calls give equal traces.  What the mesh knows about itself (paths, reach)
is for judges and for carrying packets; engines learn only what messages and babeld tell them.
"""

import itertools
import random
from collections.abc import Callable, Iterable

from netns_lab.boxes.behaviour import Behaviour
from netns_lab.model import wire
from netns_lab.model.agenda import Agenda, Trace
from netns_lab.model.links import Link
from netns_lab.model.nat import Nat
from netns_lab.model.node import Node, Settings
from netns_lab.model.registry import Registry
from netns_lab.model.tunnels import LanCarrier, OpenvpnCarrier, WireguardCarrier
from netns_lab.model.underlay import Firewall, Realm, Underlay, Weather
from re6st_core.netparams import NetworkParameters
from re6st_core.prefix import Prefix

PUBLIC = 0xC6120000
"""198.18.0.0/15 (RFC 2544): room for many sites."""
CARRIER = 0x64400000
"""100.64.0.0/10 (RFC 6598)."""
PRIVATE = 0x0A000000
REGISTRY_SITE = 0
REGISTRY_PORT = 443
SAME_SITE_S = 0.0003
MAX_HOPS = 32


class Mesh:
    """Add sites and nodes, let time pass, break things, look."""

    def __init__(
        self,
        *,
        seed: int = 1,
        client_count: int = 3,
        max_clients: int = 20,
        weather: Weather | None = None,
        delay_s: Callable[[int, int], float] | None = None,
        show: Callable[[str], None] | None = None,
    ) -> None:
        self.seed = seed
        self.agenda = Agenda()
        self.trace = Trace(self.agenda, show)
        self.rng = random.Random(f"{seed} mesh")
        self.ledger = wire.Ledger()
        self.parameters = NetworkParameters(version=1, client_count=client_count, max_clients=max_clients)
        delays = delay_s or Geography(seed)
        self.underlay = Underlay(self.agenda, self.rng, delays, weather or Weather())
        host = self.underlay.host("registry", PUBLIC + 1, REGISTRY_SITE)
        self.registry = Registry(host, REGISTRY_PORT, self.agenda, self.rng, self.parameters)
        self.nodes: list[Node] = []
        self.by_prefix: dict[Prefix, Node] = {}
        self.links: dict[str, Link] = {}
        self.mistakes: list[str] = []
        """Exceptions of engines, with their traces."""
        self.version = 0
        """Grows when any packet's way may have changed."""
        self._lost: dict[int, set[int]] = {}
        """By destination, as long as no way there changes: the nodes whose packets do not arrive."""
        self._last_address = PUBLIC + 1
        self._last_site = REGISTRY_SITE

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.agenda.now

    # --- set-up -----------------------------------------------------------------------------------------

    def public_address(self) -> int:
        """An address of the Internet that nobody has."""
        self._last_address += 1
        return self._last_address

    def site(self) -> int:
        """A place of its own on the Internet."""
        self._last_site += 1
        return self._last_site

    def home(self, behaviour: Behaviour, *, carrier: Realm | None = None) -> Realm:
        """A LAN behind a NAT, perhaps behind a carrier's NAT."""
        site = carrier.site if carrier is not None else self.site()
        outside = self.public_address() if carrier is None else CARRIER + 1 + len(carrier.nats)
        nat = Nat(behaviour, outside, random.Random(f"{self.seed} nat {outside}"))
        return self.underlay.realm(f"home{outside & 0xFFFF}", site, nat, carrier)

    def add(
        self,
        realm: Realm | None = None,
        *,
        settings: Settings | None = None,
        firewall: Firewall | None = None,
        start: bool = True,
    ) -> Node:
        """One more node, public unless a realm is given."""
        index = len(self.nodes)
        name = f"n{index + 1}"
        if realm is None:
            host = self.underlay.host(name, self.public_address(), self.site())
        else:
            host = self.underlay.host(name, PRIVATE + 2 + len(realm.hosts), realm.site, realm)
        if firewall is not None:
            host.firewall = firewall
        node = Node(self, index, host, settings or Settings(), f"{self.seed} node {index}")
        self.nodes.append(node)
        self.by_prefix[node.prefix] = node
        self.join_lan(node)
        self.moved()
        if start:
            node.start()
        return node

    def join_lan(self, node: Node) -> None:
        """Babel on the LAN finds the other nodes there that speak it."""
        for other in self.nodes:
            if other is node or not (node.settings.lan and other.settings.lan):
                continue
            if other.host.realm is node.host.realm:
                ends = (node, other) if node.index < other.index else (other, node)
                name = f"lan {ends[0].name} {ends[1].name}"
                self._add_link(name, ends, LanCarrier(*ends))

    # --- links ------------------------------------------------------------------------------------------

    def link(self, nonce: str, node: Node, peer: Prefix) -> None:
        """A node's end of a tunnel exists; there is a link once the other's does, too."""
        other = self.by_prefix[peer]
        if nonce in self.links or not (other.tunnels.holds(nonce) and node.tunnels.holds(nonce)):
            return
        one, two = (node, other) if node.index < other.index else (other, node)
        carrier = one.tunnels.client(nonce) or two.tunnels.client(nonce)
        if carrier is None and not (nonce in one.udp.devices and nonce in two.udp.devices):
            return
        self._add_link(nonce, (one, two), carrier or WireguardCarrier(nonce, one, two))

    def _add_link(
        self, name: str, ends: tuple[Node, Node], carrier: WireguardCarrier | OpenvpnCarrier | LanCarrier
    ) -> None:
        def told(end: int, alive: bool) -> None:
            node, other = ends[end], ends[1 - end]
            if node.links.get(name) is not link:
                return  # a hello that was under way when this end was removed
            if alive:
                node.babel.up(link, other.babel)
            else:
                node.babel.down(name)

        link = Link(
            name,
            (ends[0].index, ends[1].index),
            carrier,
            self.agenda,
            self.rng,
            self.parameters.hello_s,
            told,
        )
        if isinstance(carrier, LanCarrier):
            link.impatient = [True, True]
        else:
            servers = [carrier.openvpn and not node.tunnels.client(name) for node in ends]
            link.speaks, link.impatient = list(servers), list(servers)
        for node in ends:
            node.links[name] = link
        self.links[name] = link
        self._look(link)

    def unlink_end(self, nonce: str, node: Node) -> None:
        """A node has removed its end: the other hears nothing any more."""
        node.links.pop(nonce, None)
        link = self.links.get(nonce)
        if link is not None and not any(nonce in self.nodes[i].links for i in link.nodes):
            del self.links[nonce]

    def unlink(self, name: str) -> None:
        """A link is no more, at once, at both ends."""
        link = self.links.pop(name, None)
        if link is not None:
            for index in link.nodes:
                self.nodes[index].links.pop(name, None)
                self.nodes[index].babel.down(name)

    def refresh(self, node: Node | None = None) -> None:
        """Something changed at a node, or on the underlay: look at the links again."""
        links = list(self.links.values()) if node is None else list(node.links.values())
        if node is not None:
            # Also those whose one end this node has just removed.
            links += [k for k in self.links.values() if node.index in k.nodes and k.name not in node.links]
        for link in links:
            self._look(link)
        for each in self.nodes if node is None else [node]:
            each.registrar.watch()

    def _look(self, link: Link) -> None:
        if link.refresh():
            self.moved()
        for index in link.nodes:
            if self.nodes[index].links.get(link.name) is link:
                self.nodes[index].probes.look(link)
        carrier = link.carrier
        if isinstance(carrier, OpenvpnCarrier) and carrier.connected and not carrier.carries(0):
            for index in link.nodes:
                if self.nodes[index].tunnels.client(link.name) is not None:
                    self.nodes[index].tunnels.silent(link.name)

    def moved(self, destination: int | None = None) -> None:
        """Packets to a destination (None: to any) may go another way now."""
        self.version += 1
        if destination is None:
            self._lost.clear()
        else:
            self._lost.pop(destination, None)

    # --- what can happen --------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.agenda.run(seconds)

    def cut(self, one: Iterable[Node], other: Iterable[Node]) -> None:
        """Nothing passes between two groups any more."""
        self.underlay.cut({n.host.site for n in one}, {n.host.site for n in other})
        self.refresh()

    def heal(self) -> None:
        """Undo all cuts."""
        self.underlay.heal()
        self.refresh()

    def block_udp(self, node: Node) -> None:
        """The node's firewall lets no UDP pass from now on."""
        node.host.firewall.udp = False
        self.refresh()

    def change_address(self, node: Node) -> None:
        """The node's address on the Internet becomes another: its own, or its NAT's."""
        realm = node.host.realm
        if realm.gateway is None:
            self.underlay.move(node.host, self.public_address())
        else:
            while realm.outer is not None and realm.outer.gateway is not None:
                realm = realm.outer
            self.underlay.readdress(realm, self.public_address())
        self.refresh()

    def unplug(self, realm: Realm) -> None:
        """A LAN loses the Internet."""
        realm.uplink = False
        self.refresh()

    def plug(self, realm: Realm) -> None:
        """It has the Internet again."""
        realm.uplink = True
        self.refresh()

    def revoke(self, node: Node) -> None:
        """The registry publishes that a certificate is no longer good."""
        old = self.registry.parameters
        self.registry.parameters = NetworkParameters(
            version=old.version + 1,
            client_count=old.client_count,
            max_clients=old.max_clients,
            revoked=tuple(sorted({*old.revoked, node.serial})),
        )

    # --- who reaches whom -------------------------------------------------------------------------------

    def path(self, node: Node, peer: Node) -> list[Node] | None:
        """The nodes that a packet passes now, both ends included; None: it does not arrive."""
        passed = [node]
        while passed[-1] is not peer:
            here = passed[-1]
            name = here.babel.selected.get(peer.index)
            link = here.links.get(name) if name is not None else None
            if link is None or not link.carries(here.index) or len(passed) > MAX_HOPS:
                return None
            passed.append(self.nodes[link.other(here.index)])
        return passed

    def path_s(self, path: list[Node]) -> float:
        """Delay along a path."""
        return sum(self.underlay.one_way_s(a.host.site, b.host.site) for a, b in itertools.pairwise(path))

    def unreached(self, group: Iterable[Node]) -> set[tuple[int, int]]:
        """Ordered pairs of a group of which the one's packets do not reach the other."""
        members = {n.index for n in group if n.alive}
        return {(node, peer) for peer in members for node in self._lost_on_the_way(peer) & members}

    def _lost_on_the_way(self, to: int) -> set[int]:
        """Whose packets do not reach a node: each way is followed until it meets one that is known."""
        lost = self._lost.get(to)
        if lost is not None:
            return lost
        arrives: dict[int, bool] = {to: True}
        nodes = self.nodes
        for start in range(len(nodes)):
            trail: list[int] = []
            here: int | None = start
            while here is not None and here not in arrives:
                trail.append(here)
                arrives[here] = False  # who comes here again is in a loop
                name = nodes[here].babel.selected.get(to)
                link = nodes[here].links.get(name) if name is not None else None
                here = link.other(here) if link is not None and link.carries(here) else None
            if here is not None and arrives[here]:
                arrives.update(dict.fromkeys(trail, True))
        lost = self._lost[to] = {index for index, arrived in arrives.items() if not arrived}
        return lost


class Geography:
    """Delays of hosts spread over a plane, with detours: some pairs are much further than they look."""

    def __init__(self, seed: int, *, widest_s: float = 0.15) -> None:
        self._seed = seed
        self._widest_s = widest_s
        self._places: dict[int, tuple[float, float, float]] = {}
        self._delays: dict[tuple[int, int], float] = {}

    def __call__(self, one: int, other: int) -> float:
        """One way, seconds."""
        if one == other:
            return SAME_SITE_S
        pair = (one, other) if one < other else (other, one)
        delay_s = self._delays.get(pair)
        if delay_s is None:
            (x1, y1, last1), (x2, y2, last2) = self._place(pair[0]), self._place(pair[1])
            detour = random.Random(f"{self._seed} pair {pair}").lognormvariate(0.2, 0.4)
            distance = ((x1 - x2) ** 2 + (y1 - y2) ** 2) ** 0.5
            delay_s = self._delays[pair] = distance * self._widest_s / 2**0.5 * detour + last1 + last2
        return delay_s

    def _place(self, site: int) -> tuple[float, float, float]:
        """Position, and delay of the last mile."""
        if site not in self._places:
            rng = random.Random(f"{self._seed} site {site}")
            self._places[site] = rng.random(), rng.random(), rng.uniform(0.0005, 0.006)
        return self._places[site]
