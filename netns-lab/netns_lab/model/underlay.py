"""The Internet of the model: hosts in realms behind NATs, and what happens to each packet between them.

    realm "home" 10.0.0.0 -- NAT --+
    realm "flat" 10.0.0.0 -- NAT --+-- realm "carrier" -- NAT --+-- the Internet -- public hosts

A packet climbs out of its realm through NATs as it is sent, travels, and passes the NATs of the other side as
it arrives: which of two packets that open a hole comes first is decided by their delays, not by decree.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from netns_lab.model.agenda import Agenda
from netns_lab.model.nat import Address, Nat

Receive = Callable[[Address, object], None]
"""Gets the source as seen at the end of the way, and the payload."""

MAX_CLIMB = 8
"""Realms one behind another; more is a mistake in the set-up."""


@dataclass(slots=True)
class Firewall:
    """What a host's site lets through, besides what its NAT does."""

    udp: bool = True
    tcp_out: frozenset[int] | None = None
    """Destination ports of TCP connections to the outside; None: any."""
    open_ports: frozenset[int] | None = None
    """Ports that strangers may reach; None: all.  Answers always pass."""

    def lets_out(self, protocol: str, port: int) -> bool:
        """Whether a packet to this port may leave."""
        if protocol == "udp":
            return self.udp
        return self.tcp_out is None or port in self.tcp_out

    def lets_in(self, protocol: str, port: int) -> bool:
        """Whether a stranger's packet to this port may come in."""
        return (self.udp or protocol != "udp") and (self.open_ports is None or port in self.open_ports)


@dataclass(slots=True)
class Weather:
    """What happens to packets between two different sites."""

    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    """Share of packets that do not wait for those sent before them."""
    jitter_s: float = 0.0
    """Spread of the delay (of a normal distribution, cut at zero)."""


@dataclass(eq=False, slots=True)
class Realm:
    """Addresses that are valid together; ``gateway`` leads out of it."""

    name: str
    site: int
    gateway: Nat | None = None
    outer: "Realm | None" = None
    uplink: bool = True
    hosts: "dict[int, Host]" = field(default_factory=dict)
    nats: "dict[int, Realm]" = field(default_factory=dict)
    """Realms behind, by the outside address of their NAT."""


@dataclass(eq=False, slots=True)
class Host:
    """One machine: what listens on it, and where it is."""

    name: str
    ip: int
    realm: Realm
    site: int
    firewall: Firewall = field(default_factory=Firewall)
    alive: bool = True
    udp: dict[int, Receive] = field(default_factory=dict)
    sent_to: set[tuple[str, int, Address]] = field(default_factory=set)
    """For a stateful firewall: own port and remote of what was sent."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """The end of a way: the host, its address as it sees it, and the source that it sees."""

    host: Host
    port: int
    source: Address


class Underlay:
    """Carries UDP packets; tells whether a way exists.  ``delay_s(a, b)``: one way between two sites."""

    def __init__(
        self, agenda: Agenda, rng: random.Random, delay_s: Callable[[int, int], float], weather: Weather
    ) -> None:
        self._agenda = agenda
        self._rng = rng
        self.delay_s = delay_s
        self.weather = weather
        self.internet = Realm("internet", -1)
        self.fate: Counter[str] = Counter()
        """How many packets were sent, delivered, lost, doubled, blocked, cut, or found nobody."""
        self._cut: set[frozenset[int]] = set()
        self._last_due: dict[tuple[int, int], float] = {}

    # --- what it is made of -----------------------------------------------------------------------------

    def realm(self, name: str, site: int, nat: Nat, outer: Realm | None = None) -> Realm:
        """A realm behind a NAT, all at one site."""
        outer = outer or self.internet
        inner = Realm(name, site, nat, outer)
        outer.nats[nat.outside] = inner
        return inner

    def readdress(self, realm: Realm, outside: int) -> None:
        """The NAT of a realm gets another outside address: its mappings are void."""
        assert realm.gateway is not None
        assert realm.outer is not None
        del realm.outer.nats[realm.gateway.outside]
        realm.gateway.outside = outside
        realm.gateway.reboot()
        realm.outer.nats[outside] = realm

    def host(self, name: str, ip: int, site: int, realm: Realm | None = None) -> Host:
        """A machine in a realm, else on the Internet itself."""
        realm = realm or self.internet
        host = realm.hosts[ip] = Host(name, ip, realm, site)
        return host

    def move(self, host: Host, ip: int) -> None:
        """A host gets another address."""
        host.realm.hosts.pop(host.ip, None)
        host.ip = ip
        host.realm.hosts[ip] = host

    # --- what breaks ------------------------------------------------------------------------------------

    def cut(self, one: Iterable[int], other: Iterable[int]) -> None:
        """Nothing passes between two groups of sites any more."""
        others = list(other)
        self._cut |= {frozenset((a, b)) for a in one for b in others if a != b}

    def heal(self) -> None:
        """Undo all cuts."""
        self._cut.clear()

    def are_cut(self, one: int, other: int) -> bool:
        """Whether nothing passes between two sites."""
        return bool(self._cut) and frozenset((one, other)) in self._cut

    # --- packets ----------------------------------------------------------------------------------------

    def send(self, host: Host, port: int, to: Address, payload: object) -> None:
        """Send one UDP packet."""
        self.fate["sent"] += 1
        outside = self._climb(host, "udp", port, to, keep=False)
        if outside is None:
            self.fate["blocked"] += 1
            return
        realm, source = outside
        site = self._site_of(realm, to)
        if site is None:
            self.fate["nobody"] += 1
            return
        if self.are_cut(host.site, site):
            self.fate["cut"] += 1
            return
        away, rng = site != host.site, self._rng
        copies = 1
        if away and self.weather.loss and rng.random() < self.weather.loss:
            self.fate["lost"] += 1
            copies = 0
        elif away and self.weather.duplication and rng.random() < self.weather.duplication:
            self.fate["doubled"] += 1
            copies = 2
        for _ in range(copies):
            due = self._due(host.site, site)
            self._agenda.at(due, lambda: self._arrive(realm, source, to, payload))

    def way(self, host: Host, protocol: str, port: int, to: Address, *, keep: bool = False) -> Arrived | None:
        """Where a packet sent now would arrive if none got lost; the NATs on its way take note of it.

        ``keep``: packets go on being sent there, so that no NAT forgets.
        """
        outside = self._climb(host, protocol, port, to, keep=keep)
        if outside is None:
            return None
        arrived = self._descend(outside[0], protocol, outside[1], to)
        if arrived is None or self.are_cut(host.site, arrived.host.site):
            return None
        return arrived

    def release(self, host: Host, protocol: str, port: int, to: Address) -> None:
        """No more packets are sent there."""
        source, realm = (host.ip, port), host.realm
        while realm.gateway is not None and realm.outer is not None:
            realm.gateway.release(protocol, source, to, self._agenda.now)
            # The mapping, if it still exists, tells what the next NAT knows it by.
            source = realm.gateway.outbound(protocol, source, to, self._agenda.now)
            realm = realm.outer

    def one_way_s(self, one: int, other: int) -> float:
        """Delay that one packet may find."""
        base_s = self.delay_s(one, other)
        if one == other or not self.weather.jitter_s:
            return base_s
        return max(base_s + self._rng.gauss(0.0, self.weather.jitter_s), base_s / 2)

    def _due(self, one: int, other: int) -> float:
        due = self._agenda.now + self.one_way_s(one, other)
        if self.weather.reordering and self._rng.random() < self.weather.reordering:
            return due
        due = max(due, self._last_due.get((one, other), 0.0))
        self._last_due[one, other] = due
        return due

    def _climb(
        self, host: Host, protocol: str, port: int, to: Address, *, keep: bool
    ) -> tuple[Realm, Address] | None:
        """Out of the host's realm as far as the destination needs: the realm, and the source seen there."""
        if not host.alive:
            return None
        realm, source = host.realm, (host.ip, port)
        inside = realm.gateway is not None and to[0] in realm.hosts  # on the same LAN
        if not inside and not host.firewall.lets_out(protocol, to[1]):
            return None
        if host.firewall.open_ports is not None:
            host.sent_to.add((protocol, port, to))
        for _ in range(MAX_CLIMB):
            if to[0] in realm.hosts or to[0] in realm.nats:
                return realm, source
            nat = realm.gateway
            if nat is None or realm.outer is None:
                return realm, source  # nobody has this address: it gets lost where all are known
            if not realm.uplink or (to[0] == nat.outside and not nat.behaviour.hairpin):
                return None
            source = nat.outbound(protocol, source, to, self._agenda.now, keep=keep)
            realm = realm.outer
        raise RuntimeError(f"realms are nested in a circle around {host.name}")

    @staticmethod
    def _site_of(realm: Realm, to: Address) -> int | None:
        """The site that a packet travels to, before the NATs there decide."""
        if (host := realm.hosts.get(to[0])) is not None:
            return host.site
        inner = realm.nats.get(to[0])
        return inner.site if inner is not None and inner.uplink else None

    def _descend(self, realm: Realm, protocol: str, source: Address, to: Address) -> Arrived | None:
        """Through the NATs of the destination, to its host; None: somebody does not let it in."""
        while to[0] not in realm.hosts:
            inner = realm.nats.get(to[0])
            if inner is None or inner.gateway is None or not inner.uplink:
                return None
            inside = inner.gateway.inbound(protocol, to[1], source, self._agenda.now)
            if inside is None:
                return None
            realm, to = inner, inside
        host = realm.hosts[to[0]]
        if not host.alive:
            return None
        neighbour = realm.gateway is not None and source[0] in realm.hosts
        known = (protocol, to[1], source) in host.sent_to and (protocol != "udp" or host.firewall.udp)
        if not (neighbour or known or host.firewall.lets_in(protocol, to[1])):
            return None
        return Arrived(host, to[1], source)

    def _arrive(self, realm: Realm, source: Address, to: Address, payload: object) -> None:
        arrived = self._descend(realm, "udp", source, to)
        receive = arrived.host.udp.get(arrived.port) if arrived else None
        if arrived is None or receive is None:
            self.fate["nobody" if arrived else "blocked"] += 1
            return
        self.fate["delivered"] += 1
        receive(arrived.source, payload)
