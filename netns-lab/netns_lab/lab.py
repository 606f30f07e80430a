"""A lab: a topology made real, from registering it to removing the last trace of it.

::

    switch process in nl-<id>-internet, a TAP in each namespace behind a port

    plain site     [net0 = TAP  node]
    blocked site   [inet = TAP, bridge "lan", veth] -- [net0  node]          box bridges
    NAT site       [inet = TAP][bridge "lan", veths] -- [net0 nodes…]        box routes and masquerades
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from netns_lab import cleanup
from netns_lab.boxes.firewall import install_block
from netns_lab.boxes.nat import install_nat
from netns_lab.host_limits import raise_limits, wanted_limits
from netns_lab.internet.link import Line
from netns_lab.internet.switch import Port, Switch
from netns_lab.internet.switch_model import port_mac
from netns_lab.namespace import Machine
from netns_lab.topology import Site, Topology

_INTERNET = "internet"  # the machine that the switch runs in

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
_BOX = {
    "net.ipv6.conf.all.disable_ipv6": 1,
    "net.ipv6.conf.default.disable_ipv6": 1,
    # Bridged packets are none of the IP rules' business.
    "net.bridge.bridge-nf-call-iptables": 0,
    "net.bridge.bridge-nf-call-ip6tables": 0,
}
# Addresses of the underlay are unique by construction: usable at once.
_UNDERLAY = {"net.ipv6.conf.net0.accept_dad": 0, "net.ipv6.conf.net0.disable_ipv6": 0}


class Lab:
    """Use as a context manager; entering builds everything, leaving removes it, whatever happened."""

    def __init__(
        self, topology: Topology, *, label: str = "", unique: bool = False, keep: Path | None = None
    ) -> None:
        """``keep``: an absent or empty directory for all files, which then stay; else they are temporary.

        ``unique``: refuse to be a second lab of this label (default: the topology's name).
        """
        self.topology = topology
        self._label = label or topology.name
        self._unique = unique
        self._keep = keep
        self.keep_files = keep is not None
        self.machines: dict[str, Machine] = {}

    def __enter__(self) -> Self:
        raise_limits(wanted_limits(len(self.topology.nodes)))
        cleanup.clean_dead()
        self.record = cleanup.register(self._label, self._keep, unique=self._unique)
        assert self.record.directory is not None
        self.directory = self.record.directory
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        if hasattr(self, "internet"):
            self.internet.stop()
        cleanup.clean(self.record, keep_directory=self.keep_files)

    @property
    def logs(self) -> Path:
        """Where the logs of switch and daemons are."""
        return self.directory / "logs"

    def port(self, name: str) -> int:
        """The switch port of a site, given its name or that of a node in it."""
        sites = self.topology.sites
        return next(i for i, site in enumerate(sites) if name == site.name or name in site.nodes)

    def _build(self) -> None:
        self.logs.mkdir()
        for name in (_INTERNET, *self._boxes(), *self.topology.nodes):
            machine = Machine(self.record.namespace(name), self.directory / name)
            machine.create()
            self.machines[name] = machine
        ports = [
            Port(self.machines[site.box], "inet") if site.box else Port(self.machines[site.nodes[0]], "net0")
            for site in self.topology.sites
        ]
        internet = self.machines[_INTERNET]
        links, log = self.topology.links, self.logs / "switch.log"
        lines = [Line(site.rate_mbit, site.rate_mbit) for site in self.topology.sites]
        self.internet = Switch.start(ports, links, lines=lines, home=internet, log=log)
        for number, site in enumerate(self.topology.sites):
            if site.nat:
                self._build_nat(number, site)
            elif site.blocked:
                self._build_firewall(number, site)
            else:
                self._build_node(site.nodes[0], self._public(number, site))

    def _boxes(self) -> Iterator[str]:
        return (site.box for site in self.topology.sites if site.box)

    def _public(self, number: int, site: Site, interface: str = "net0") -> list[str]:
        """``ip`` commands that give an interface a site's public address: all of the Internet is on link."""
        return [
            f"link set {interface} address {port_mac(number)}",
            f"link set {interface} up",
            f"addr add {site.address}/{self.topology.internet.prefixlen} dev {interface}",
            f"route add default dev {interface}",
        ]

    def _build_node(self, name: str, underlay: list[str]) -> None:
        node = self.machines[name]
        node.sysctl(_EVERY_MACHINE | _NODE | _UNDERLAY)
        node.ip(["link set lo up", *underlay])

    def _build_firewall(self, number: int, site: Site) -> None:
        box = self._build_box(site)
        box.ip(["link set inet master lan", "link set inet up"])
        install_block(box, site.blocked)
        self._build_node(site.nodes[0], self._public(number, site))

    def _build_nat(self, number: int, site: Site) -> None:
        assert site.lan is not None
        assert site.nat is not None
        box = self._build_box(site)
        gateway, length = site.lan[1], site.lan.prefixlen
        box.ip([*self._public(number, site, "inet"), f"addr add {gateway}/{length} dev lan"])
        install_nat(box, site.nat, inside="lan", outside="inet")
        for name in site.nodes:
            address = f"addr add {self.topology.address_of(name)}/{length} dev net0"
            self._build_node(name, ["link set net0 up", address, f"route add default via {gateway}"])

    def _build_box(self, site: Site) -> Machine:
        """The machine in front of a site's nodes, its bridge ``lan``, and a cable from that to each node."""
        assert site.box is not None
        box = self.machines[site.box]
        box.sysctl(_EVERY_MACHINE | _BOX)
        # No forwarding delay: without spanning tree a port carries frames at once.
        lines = ["link set lo up", "link add lan type bridge stp_state 0 forward_delay 0", "link set lan up"]
        for i, name in enumerate(site.nodes):
            lines += [
                f"link add lan{i} type veth peer name net0 netns {self.machines[name].namespace}",
                f"link set lan{i} master lan up",
            ]
        box.ip(lines)
        return box
