"""What a lab consists of: sites on an Internet, the nodes in them, and the delay between any two sites.

A *site* is one attachment to the Internet with one public address and one row of the delay matrix.  What
hangs off it depends on the site::

    plain site      Internet -- node
    blocked = […]   Internet -- firewall (a transparent bridge that drops the named protocols) -- node
    nat = "…"       Internet -- NAT box -- LAN -- one or more nodes
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

NAT_KINDS = ("masquerade",)
BLOCKABLE = ("udp",)


@dataclass(frozen=True, slots=True)
class Site:
    """One attachment to the Internet."""

    name: str
    address: IPv4Address  # public: of the node, or of the NAT box
    nodes: tuple[str, ...]
    nat: str | None = None  # one of NAT_KINDS
    lan: IPv4Network | None = None  # given exactly when there is a NAT
    blocked: tuple[str, ...] = ()  # of BLOCKABLE

    @property
    def box(self) -> str | None:
        """Name of the machine between the Internet and the nodes, if the site has one."""
        return f"{self.name}-box" if self.nat or self.blocked else None


@dataclass(frozen=True, slots=True)
class Topology:
    """A complete lab; node and site names are unique, the matrix is square in the order of ``sites``."""

    name: str
    title: str
    internet: IPv4Network
    sites: tuple[Site, ...]
    rtt_ms: tuple[tuple[float, ...], ...]  # measured between sites; half of it is the delay each way

    @property
    def nodes(self) -> tuple[str, ...]:
        """All node names, in file order."""
        return tuple(node for site in self.sites for node in site.nodes)

    def site_of(self, node: str) -> Site:
        """The site a node is in; KeyError when there is no such node."""
        for site in self.sites:
            if node in site.nodes:
                return site
        raise KeyError(node)

    def address_of(self, node: str) -> IPv4Address:
        """The underlay address the node itself has: public, or private behind a NAT."""
        site = self.site_of(node)
        if site.lan is None:
            return site.address
        return site.lan[10 + site.nodes.index(node)]

    def direct_address(self, source: str, to: str) -> IPv4Address | None:
        """The underlay address at which ``source`` can ask ``to`` unasked; None: a NAT is in the way."""
        site = self.site_of(to)
        if site.nat and site is not self.site_of(source):
            return None
        return self.address_of(to)

    def direct_rtt_ms(self, a: str, b: str) -> float:
        """Round-trip time of the direct path as the matrix states it; 0 within a site."""
        index = {site.name: i for i, site in enumerate(self.sites)}
        return self.rtt_ms[index[self.site_of(a).name]][index[self.site_of(b).name]]
