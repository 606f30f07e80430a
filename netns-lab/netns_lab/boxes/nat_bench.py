"""A bench for NAT boxes: an Internet without delays, a server with two addresses, and places behind NATs.

::

    server 203.0.113.1 and .2 --+                     +-- [net0 hosts] of a place in public, or without UDP
                                +-- bridge "internet"-+
                                                      +-- [inet  box  lan] ---------------- hosts
                                                      +-- [inet carrier lan] -- [inet box lan] -- hosts

Made of the same machines and boxes as a lab, and removed as one; only the switch is missing, because what a
NAT does must not depend on delays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from types import TracebackType
from typing import Self

from netns_lab import cleanup
from netns_lab.boxes.behaviour import BLOCKED_UDP, BOXES
from netns_lab.boxes.nat import install_nat
from netns_lab.namespace import Machine, create_machines

_INTERNET = IPv4Network("203.0.113.0/24")
_SERVER = (_INTERNET[1], _INTERNET[2])
_FIRST_PLACE = 10
_HOMES = IPv4Network("192.168.0.0/24")
_CARRIERS = IPv4Network("100.64.0.0/10")  # RFC 6598

_NO_UDP = 'add rule bridge internet forward {side} "{port}" meta protocol ip ip protocol udp drop\n'


@dataclass(frozen=True, slots=True)
class Place:
    """Hosts behind one public address."""

    kind: str | None = None
    """Of ENDS; without a NAT there is one host."""
    hairpin: bool = False
    hosts: int = 1
    udp_timeout_s: int | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """A machine, and the address that it has itself."""

    machine: Machine
    address: IPv4Address
    public: bool
    """Others see it by that address."""


@dataclass(frozen=True, slots=True)
class _Lan:
    """A bridge of a machine, and the network on it."""

    machine: Machine
    bridge: str
    network: IPv4Network
    gateway: IPv4Address | None  # None: all that there is, is on it

    def build(self) -> None:
        # No forwarding delay: without spanning tree a port carries frames at once.
        self.machine.ip(
            [
                f"link add {self.bridge} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
                f"link set {self.bridge} up",
                *(
                    [f"addr add {self.gateway}/{self.network.prefixlen} dev {self.bridge}"]
                    if self.gateway
                    else []
                ),
            ]
        )

    def plug(self, port: str, machine: Machine, interface: str, address: IPv4Address) -> None:
        """A cable from a new port of the bridge to a new interface of a machine, which gets an address."""
        self.machine.ip(
            [
                f"link add {port} type veth peer name {interface} netns {machine.namespace}",
                f"link set {port} master {self.bridge} up",
            ]
        )
        machine.ip(
            [
                "link set lo up",
                f"link set {interface} up",
                f"addr add {address}/{self.network.prefixlen} dev {interface}",
                f"route add default via {self.gateway}"
                if self.gateway
                else f"route add default dev {interface}",
            ]
        )


class Bench:
    """Use as a context manager, like a lab."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.places = tuple(places)
        self.hosts: list[list[Host]] = []
        """Of each place, in order."""
        self.boxes: list[list[Machine]] = []
        """Of each place, from the Internet inwards."""
        self.server_addresses = _SERVER
        self._machines: dict[str, Machine] = {}

    def __enter__(self) -> Self:
        cleanup.clean_dead()
        self.record = cleanup.register("nat", None)
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
        cleanup.clean(self.record, keep_directory=False)

    def outside(self, place: int) -> IPv4Address:
        """The public address of a place."""
        return _INTERNET[_FIRST_PLACE + place]

    def _create(self) -> None:
        assert self.record.directory is not None
        names = ["internet", "server"]
        for number, place in enumerate(self.places):
            names += [f"p{number}b{depth}" for depth in range(len(_boxes(place)))]
            names += [f"p{number}h{i}" for i in range(place.hosts)]
        for name in names:
            self._machines[name] = Machine(self.record.namespace(name), self.record.directory / name)
        create_machines(self._machines.values())

    def _build(self) -> None:
        self._create()
        internet = _Lan(self._machines["internet"], "internet", _INTERNET, None)
        internet.build()
        self.server = self._machines["server"]
        internet.plug("server", self.server, "net0", _SERVER[0])
        self.server.ip([f"addr add {_SERVER[1]}/{_INTERNET.prefixlen} dev net0"])
        no_udp = ""
        for number, place in enumerate(self.places):
            lan = internet
            boxes = []
            for depth, kind in enumerate(_boxes(place)):
                lan, box = self._build_nat(number, depth, kind, lan)
                boxes.append(box)
            self.boxes.append(boxes)
            self.hosts.append([self._build_host(number, i, lan) for i in range(place.hosts)])
            if place.kind == BLOCKED_UDP:
                no_udp += _NO_UDP.format(side="iifname", port=f"p{number}")
                no_udp += _NO_UDP.format(side="oifname", port=f"p{number}")
        if no_udp:
            chain = "table bridge internet { chain forward { type filter hook forward priority filter; }; }\n"
            internet.machine.nft(chain + no_udp)

    def _build_nat(self, number: int, depth: int, kind: str, upstream: _Lan) -> tuple[_Lan, Machine]:
        """A box, its outside plugged into the LAN of the one before; ``depth`` 0 is next to the Internet."""
        place = self.places[number]
        box = self._machines[f"p{number}b{depth}"]
        outside = self.outside(number) if depth == 0 else upstream.network[2]
        upstream.plug(f"p{number}", box, "inet", outside)
        network = _HOMES if depth == len(_boxes(place)) - 1 else _CARRIERS
        lan = _Lan(box, "lan", network, network[1])
        lan.build()
        box.sysctl({"net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.inet.rp_filter": 0})
        install_nat(
            box,
            kind,
            inside="lan",
            outside="inet",
            hairpin=place.hairpin and depth == 0,
            udp_timeout_s=place.udp_timeout_s,
        )
        return lan, box

    def _build_host(self, number: int, i: int, lan: _Lan) -> Host:
        machine = self._machines[f"p{number}h{i}"]
        address = self.outside(number) if lan.gateway is None else lan.network[_FIRST_PLACE + i]
        lan.plug(f"p{number}" if lan.gateway is None else f"h{i}", machine, "net0", address)
        return Host(machine, address, public=lan.gateway is None)


def _boxes(place: Place) -> tuple[str, ...]:
    """Kinds of its boxes, from the Internet inwards."""
    return BOXES.get(place.kind or "", ())[::-1]
