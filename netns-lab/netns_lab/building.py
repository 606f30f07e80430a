"""Build one site of a lab: its machines are there, empty; they become nodes and boxes, with cables.

::

    plain site     [net0  node]
    firewall       [inet  bridge "lan"  lan0] -- [net0  node]
    NAT            [inet  box  bridge "lan"] -- [net0  nodes…]
    carrier        [inet  carrier  bridge "lan"] -- [inet  box  bridge "lan"] -- [net0  nodes…]
    offline        [bridge "lan"] -- [net0  nodes…]

The outermost interface, ``inet`` or ``net0``, is the Internet's port of the site; it is there before.
"""

from collections.abc import Collection, Mapping
from ipaddress import IPv4Network

from netns_lab.boxes.behaviour import BOXES
from netns_lab.boxes.firewall import clamp_segments, install_firewall, install_ipv6_filter
from netns_lab.boxes.nat import install_nat
from netns_lab.internet.neighbours import introduce
from netns_lab.internet.switch_model import port_mac
from netns_lab.namespace import Machine
from netns_lab.topology import Site, Topology
from netns_lab.topology.model import CARRIER_SPACE, MTU_MAX

# A namespace inherits IPv4 settings of the host it is made on: state all that matter.
_EVERY_MACHINE = {
    "net.ipv4.ip_forward": 0,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
    "net.ipv4.conf.all.accept_redirects": 0,
    "net.ipv4.conf.default.accept_redirects": 0,
}
_NODE = {
    "net.ipv6.conf.all.disable_ipv6": 0,
    "net.ipv6.conf.default.disable_ipv6": 0,
    "net.ipv6.conf.all.forwarding": 1,  # nodes relay for each other
}
# Bridged packets are none of the IP rules' business.
_BRIDGE = {"net.bridge.bridge-nf-call-iptables": 0, "net.bridge.bridge-nf-call-ip6tables": 0}
_WITHOUT_IPV6 = {"net.ipv6.conf.all.disable_ipv6": 1, "net.ipv6.conf.default.disable_ipv6": 1}
_WITH_IPV6 = {
    "net.ipv6.conf.all.disable_ipv6": 0,
    "net.ipv6.conf.default.disable_ipv6": 0,
    "net.ipv6.conf.default.accept_dad": 0,  # addresses are unique by construction: usable at once
    "net.ipv6.conf.inet.accept_dad": 0,
}
_ROUTES_IPV6 = {
    "net.ipv6.conf.all.forwarding": 1,
    # The box answers at its outside for the nodes of its LAN: to others all of the Internet is on link.
    "net.ipv6.conf.inet.proxy_ndp": 1,
    "net.ipv6.neigh.inet.proxy_delay": 0,
}
_CARRIER6, _HOME6 = "fe80::1", "fe80::2"  # the two ends of the cable between a carrier's box and a home's


def outer_interface(site: Site) -> tuple[str, str]:
    """The machine and the interface of a site where the Internet's port comes out."""
    return site.machines[0], "inet" if site.box else "net0"


def carrier_network(number: int) -> IPv4Network:
    """Between the carrier's box of a site, given by its number, and the home's: .1 and .2 in it."""
    return IPv4Network((CARRIER_SPACE.network_address + (number + 1 << 8), 24))


class SiteBuilder:
    """Builds the site of a number; each machine by few processes, since a lab has many."""

    def __init__(self, topology: Topology, number: int, machines: Mapping[str, Machine]) -> None:
        self._topology = topology
        self._number = number
        self._site = topology.sites[number]
        self._machines = machines

    def build(self) -> None:
        """Build it all; RouterError when the kernel refuses."""
        if self._site.offline:
            self._build_offline()
        elif self._site.nat:
            self._build_nat()
        elif self._site.box:
            self._build_firewall()
        else:
            self._build_node(self._site.nodes[0], self._outside("net0"))

    def public(self, version: int) -> str | None:
        """The site's public address of that version of IP, with the length of its network; None: none."""
        address, network = self._site.address, self._topology.internet
        address6, network6 = self._site.address6, self._topology.internet6
        if version == 4:
            return f"{address}/{network.prefixlen}" if address else None
        return f"{address6}/{network6.prefixlen}" if address6 else None

    def take_address(self, version: int, interface: str) -> list[str]:
        """``ip`` commands that give an interface the public address, if any; all others are on link."""
        public = self.public(version)
        if public is None:
            return []
        add = f"addr add {public} dev {interface}{' nodad' * (version == 6)}"
        route = f"route replace {'0.0.0.0/0' if version == 4 else '::/0'} dev {interface}"
        return [add, route, *self.meet(range(len(self._topology.sites)), version, interface)]

    def meet(self, numbers: Collection[int], version: int, interface: str) -> list[str]:
        """``ip`` commands that make other sites known, if this one speaks that version of IP."""
        if self.public(version) is None:
            return []
        addresses = [
            [each for each in (site.address, site.address6) if each and each.version == version]
            if number in numbers
            else []
            for number, site in enumerate(self._topology.sites)
        ]
        return list(introduce(interface, self._number, addresses))

    def _outside(self, interface: str) -> list[str]:
        """``ip`` commands that make an interface the one where the site is on the Internet."""
        return [
            f"link set {interface} address {port_mac(self._number)} mtu {self._site.mtu}",
            f"link set {interface} up",
            *self.take_address(4, interface),
            *self.take_address(6, interface),
        ]

    def _build_offline(self) -> None:
        box = self._machines[self._site.machines[0]]
        box.sysctl(_EVERY_MACHINE | _WITHOUT_IPV6 | _BRIDGE)
        box.ip([*_bridge(), *self._cables()])
        self._build_lan_nodes(gateway=False)

    def _build_firewall(self) -> None:
        box = self._machines[self._site.machines[0]]
        box.sysctl(_EVERY_MACHINE | _WITHOUT_IPV6 | _BRIDGE)
        box.ip([*_bridge(), *self._cables(), "link set inet master lan", "link set inet up"])
        install_firewall(box, self._site, inside="lan0", outside="inet", bridge=True)
        self._build_node(self._site.nodes[0], self._outside("net0"))

    def _build_nat(self) -> None:
        """The boxes from the Internet inwards, then the nodes."""
        site = self._site
        assert site.nat is not None
        assert site.lan is not None
        boxes = [self._machines[name] for name in (site.carrier, site.box) if name]
        home = boxes[-1]
        between = carrier_network(self._number)
        for box in boxes:
            box.sysctl(_EVERY_MACHINE | _BRIDGE | (_WITH_IPV6 if site.lan6 else _WITHOUT_IPV6))
        outside = self._outside("inet")
        if site.carrier:
            cable = f"link add lan0 type veth peer name inet netns {home.namespace}"
            inside = [*_bridge(), cable, "link set lan0 master lan up", f"addr add {between[1]}/24 dev lan"]
            boxes[0].ip([*outside, *inside])
            outside = [
                f"link set inet mtu {site.mtu} up",
                f"addr add {between[2]}/24 dev inet",
                f"route add default via {between[1]}",
            ]
        lan = f"addr add {site.lan[1]}/{site.lan.prefixlen} dev lan"
        home.ip([*outside, *_bridge(), *self._cables(), lan])
        for box, kind in zip(boxes, reversed(BOXES[site.nat]), strict=True):
            install_nat(box, kind, inside="lan", outside="inet", hairpin=site.hairpin and box is boxes[0])
            if site.mtu < MTU_MAX:
                clamp_segments(box)
        if site.filtered:
            install_firewall(home, site, inside="lan", outside="inet", bridge=False)
        if site.lan6:
            self._route_ipv6(boxes)
        self._build_lan_nodes(gateway=True)

    def _route_ipv6(self, boxes: list[Machine]) -> None:
        """Carry IPv6 between Internet and LAN; only the home filters it."""
        site = self._site
        assert site.lan6 is not None
        outermost, home = boxes[0], boxes[-1]
        for box in boxes:
            box.sysctl(_ROUTES_IPV6)
        outermost.ip(f"neigh add proxy {self._topology.address6_of(name)} dev inet" for name in site.nodes)
        if outermost is not home:
            outermost.ip(
                [f"addr add {_CARRIER6}/64 dev lan nodad", f"route add {site.lan6} via {_HOME6} dev lan"]
            )
            home.ip([f"addr add {_HOME6}/64 dev inet nodad", f"route add ::/0 via {_CARRIER6} dev inet"])
        home.ip([f"addr add {site.lan6[1]}/64 dev lan nodad"])
        install_ipv6_filter(home, inside="lan", outside="inet")

    def _build_lan_nodes(self, *, gateway: bool) -> None:
        site, topology = self._site, self._topology
        for name in site.nodes:
            lines = ["link set net0 up"]
            if site.lan:
                lines += [f"addr add {topology.address_of(name)}/{site.lan.prefixlen} dev net0"]
                lines += [f"route add default via {site.lan[1]}"] if gateway else []
            if site.lan6:
                lines += [f"addr add {topology.address6_of(name)}/64 dev net0 nodad"]
                lines += [f"route add ::/0 via {site.lan6[1]} dev net0"] if gateway else []
            self._build_node(name, lines)

    def _build_node(self, name: str, underlay: list[str]) -> None:
        node = self._machines[name]
        net0 = {"net.ipv6.conf.net0.accept_dad": 0, "net.ipv6.conf.net0.disable_ipv6": 0}
        node.sysctl(_EVERY_MACHINE | _NODE | net0)
        node.ip(["link set lo up", *underlay])

    def _cables(self) -> list[str]:
        """``ip`` commands on the box: a cable from its bridge to each node."""
        lines = []
        for i, name in enumerate(self._site.nodes):
            namespace = self._machines[name].namespace
            lines += [
                f"link add lan{i} type veth peer name net0 netns {namespace}",
                f"link set lan{i} master lan up",
            ]
        return lines


def _bridge() -> list[str]:
    # No forwarding delay: without spanning tree a port carries frames at once.
    bridge = "link add lan type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
    return ["link set lo up", bridge, "link set lan up"]
