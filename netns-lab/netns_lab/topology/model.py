"""What a lab consists of: sites on an Internet, the nodes in them, and the path between any two sites.  Pure.

A *site* is one attachment to the Internet, with a port of its own.  What hangs off it depends on the site::

    plain                       Internet -- node
    blocked, outbound, inbound  Internet -- firewall (a transparent bridge) -- node
    nat                         Internet -- NAT box, with the firewall -- LAN -- one or more nodes
    nat = "carrier_grade"       Internet -- the carrier's NAT box -- NAT box -- LAN -- one or more nodes
    offline                     LAN -- nodes, and no Internet
"""

from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from netns_lab.boxes.behaviour import BOXES
from netns_lab.internet.link import Link

NAT_KINDS = tuple(BOXES)
PROTOCOLS = ("udp", "tcp", "icmp")
IP_VERSIONS = ("ipv4", "ipv6")
TRANSPORTS = ("wireguard", "openvpn")
UPNP = ("present", "lying")

CARRIER_SPACE = IPv4Network("100.64.0.0/10")
"""Between a carrier's NAT and its customers (RFC 6598)."""
OVERLAY = IPv6Network("2001:db8:42::/48")
"""What the mesh on a lab has its addresses from."""
FIRST_NODE = 10
"""Place of a LAN's first node in it; the box is the first address."""
MTU_MAX = 1500

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Service:
    """What a firewall lets through: one port, or with ``port`` None all of a protocol."""

    protocol: str  # of PROTOCOLS
    port: int | None = None

    def __str__(self) -> str:
        return self.protocol if self.port is None else f"{self.protocol}/{self.port}"


@dataclass(frozen=True, slots=True)
class Site:
    """One attachment to the Internet (or, ``offline``, a LAN without one)."""

    name: str
    nodes: tuple[str, ...]
    address: IPv4Address | None = None  # public: of the node, or of the outermost box
    address6: IPv6Address | None = None
    nat: str | None = None  # of NAT_KINDS
    hairpin: bool = False
    lan: IPv4Network | None = None  # behind a NAT, or offline
    lan6: IPv6Network | None = None  # the same, where the site has IPv6: routed, never translated
    offline: bool = False
    upnp: str | None = None  # of UPNP
    blocked: tuple[str, ...] = ()  # of PROTOCOLS, both ways
    outbound: tuple[Service, ...] | None = None  # only these may leave; None: all
    inbound: tuple[Service, ...] | None = (
        None  # only these may come in unasked; None: all, with outbound none
    )
    rate_mbit: float | None = None
    mtu: int = MTU_MAX
    jitter_ms: float = 0.0
    loss: float = 0.0
    city: str | None = None
    host: int | None = None  # row of the delay matrix

    @property
    def filtered(self) -> bool:
        """Whether there is a firewall."""
        return bool(self.blocked) or self.outbound is not None or self.inbound is not None

    @property
    def box(self) -> str | None:
        """Name of the machine next to the nodes, if the site has one."""
        return f"{self.name}-box" if self.nat or self.filtered or self.offline else None

    @property
    def carrier(self) -> str | None:
        """Name of the carrier's NAT box, between ``box`` and the Internet."""
        return f"{self.name}-carrier" if self.nat == "carrier_grade" else None

    @property
    def machines(self) -> tuple[str, ...]:
        """Every machine of the site, from the Internet inwards."""
        return (*filter(None, (self.carrier, self.box)), *self.nodes)


@dataclass(frozen=True, slots=True)
class Node:
    """A machine that takes part in the mesh, and how its programs are to be started."""

    name: str
    site: str
    transports: tuple[str, ...] = TRANSPORTS
    options: tuple[str, ...] = ()  # further ones, for re6stnet
    client_count: int | None = None
    clock_offset_s: float = 0.0


@dataclass(frozen=True)
class Topology:
    """A complete lab.  Names of sites and nodes are unique; lookups raise KeyError for others."""

    name: str
    title: str
    internet: IPv4Network
    internet6: IPv6Network
    registry: str | None  # the node that hosts it
    sites: tuple[Site, ...]
    node_list: tuple[Node, ...]  # in the order of the sites
    links: tuple[tuple[Link, ...], ...]  # between sites; from: row, to: column

    @property
    def nodes(self) -> tuple[str, ...]:
        """All node names, in file order."""
        return tuple(node.name for node in self.node_list)

    def node(self, name: str) -> Node:
        """What is said of a node."""
        return self._nodes[name]

    def site(self, name: str) -> Site:
        """A site, by its own name or that of a node in it."""
        return self.sites[self.port(name)]

    def port(self, name: str) -> int:
        """The Internet's port of a site, by its name or that of a node in it: its place in ``sites``."""
        return self._ports[name]

    def site_of(self, node: str) -> Site:
        """The site a node is in."""
        return self.sites[self._ports[self.node(node).site]]

    def link(self, a: str, b: str) -> Link:
        """The path from one site to another, each by its name or that of a node in it."""
        return self.links[self.port(a)][self.port(b)]

    def address_of(self, node: str) -> IPv4Address | None:
        """The IPv4 address the node itself has: public, or of its LAN; None: it has none."""
        site = self.site_of(node)
        if site.lan is None:
            return site.address
        return site.lan[FIRST_NODE + site.nodes.index(node)]

    def address6_of(self, node: str) -> IPv6Address | None:
        """The IPv6 address the node itself has on the underlay; None: it has none."""
        site = self.site_of(node)
        if site.lan6 is None:
            return site.address6
        return site.lan6[FIRST_NODE + site.nodes.index(node)]

    def direct_address(self, source: str, to: str) -> Address | None:
        """The underlay address at which ``source`` can ask ``to`` unasked; None: something is in the way.

        What is in the way may be a NAT (or the filter that stands for it in IPv6), that they have no version
        of IP in common, or that one is offline.  Firewalls are left to the caller, who knows what is sent.
        """
        here, there = self.site_of(source), self.site_of(to)
        if here is not there and (there.nat or here.offline or there.offline):
            return None
        if self.address_of(source) and self.address_of(to):
            return self.address_of(to)
        return self.address6_of(to) if self.address6_of(source) else None

    def direct_rtt_ms(self, a: str, b: str) -> float:
        """Round-trip time of the direct path as the topology states it, without jitter; 0 within a site."""
        return self.link(a, b).delay_ms + self.link(b, a).delay_ms

    @cached_property
    def _nodes(self) -> dict[str, Node]:
        return {node.name: node for node in self.node_list}

    @cached_property
    def _ports(self) -> dict[str, int]:
        ports = {name: i for i, site in enumerate(self.sites) for name in site.nodes}
        return ports | {site.name: i for i, site in enumerate(self.sites)}
