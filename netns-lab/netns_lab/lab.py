"""A lab: a topology made real, from registering it to removing the last trace of it.

The Internet (:mod:`netns_lab.internet`) lives in ``nl-<id>-internet``, with a port in the outermost machine
of each site; :mod:`netns_lab.building` makes the rest of the site.  What can be done to a lab that runs is
here, by the names of nodes and sites.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import TracebackType
from typing import Self

from netns_lab import cleanup, programs
from netns_lab.boxes import upnp
from netns_lab.boxes.firewall import set_silent
from netns_lab.building import SiteBuilder, outer_interface
from netns_lab.host_limits import raise_limits, wanted_limits
from netns_lab.internet.choice import start_internet
from netns_lab.internet.link import Internet, Line, Link
from netns_lab.internet.switch import Port
from netns_lab.namespace import Machine, create_machines
from netns_lab.topology import Site, Topology
from netns_lab.topology.addresses import with_address
from netns_lab.topology.form import did_you_mean
from re6st_core.errors import ConfigError

_SOCKET_PATH_MAX = 107  # bytes, unix(7)
_SOCKET_NAME = 32  # bytes kept for what programs call theirs, such as /state/openvpn-server.sock
_INTERNET = "internet"  # the machine that the switch runs in


def packages(topology: Topology) -> dict[str, str]:
    """Programs that a lab of this topology needs, each with the Debian package that has it."""
    routers = upnp.PACKAGES if any(site.upnp for site in topology.sites) else {}
    clocks = programs.CLOCK_PACKAGES if any(node.clock_offset_s for node in topology.node_list) else {}
    return programs.LAB_PACKAGES | routers | clocks


class Lab:
    """Use as a context manager; entering builds everything, leaving removes it, whatever happened."""

    internet: Internet
    record: cleanup.LabRecord
    directory: Path

    def __init__(
        self,
        topology: Topology,
        *,
        label: str = "",
        unique: bool = False,
        keep: Path | None = None,
        internet: str | None = None,
    ) -> None:
        """``keep``: an absent or empty directory for all files, which then stay; else they are temporary.

        ``unique``: refuse to be a second lab of this label (default: the topology's name).  ``internet``: a
        kind (``internet.choice.KINDS``) instead of the best there is.
        """
        self.topology = topology
        self._label = label or topology.name
        self._unique = unique
        self._keep = keep
        self._internet = internet
        self.keep_files = keep is not None
        self.machines: dict[str, Machine] = {}
        self._upnp: list[upnp.Upnp] = []

    def __enter__(self) -> Self:
        programs.require(packages(self.topology))
        raise_limits(wanted_limits(len(self.topology.nodes)))
        cleanup.clean_dead()
        self.record = cleanup.register(self._label, self._keep, unique=self._unique)
        assert self.record.directory is not None
        self.directory = self.record.directory
        try:
            self._build()
        except BaseException as exc:
            self._remove()
            if isinstance(exc, OSError):  # a file of ours: the disk is full, or the directory not for us
                raise ConfigError(f"{exc.filename or self.directory}: {exc.strerror or exc}") from exc
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    @property
    def logs(self) -> Path:
        """Where the logs of switch and daemons are."""
        return self.directory / "logs"

    def site(self, name: str) -> Site:
        """A site, by its name or that of a node in it; ConfigError for a name that is neither."""
        return self.topology.sites[self.port(name)]

    def port(self, name: str) -> int:
        """The Internet's port of a site, by its name or that of a node in it; ConfigError: it is neither."""
        return self._ports(name)[0]

    def path(self, a: str, b: str) -> tuple[int, int]:
        """The Internet's ports of two sites, each by its name or that of a node in it.

        Raises ConfigError when one is neither, or no path of the Internet is between them.
        """
        one, other = self._ports(a, b)
        if one == other:
            raise ConfigError(f"{a} and {b} are at the same site, no path of the Internet is between them")
        offline = [name for name, port in ((a, one), (b, other)) if self.topology.sites[port].offline]
        if offline:
            raise ConfigError(
                *(f"{name} is offline, no path of the Internet leads there" for name in offline)
            )
        return one, other

    def box(self, name: str) -> Machine:
        """The machine in front of the nodes of a site; ConfigError if there is none."""
        site = self.site(name)
        if site.box is None:
            raise ConfigError(f"site {site.name} has neither a NAT nor a firewall")
        return self.machines[site.box]

    def cut(self, a: str, b: str) -> None:
        """Let nothing pass between two sites, each by its name or that of a node in it; undone by heal."""
        self.internet.cut(*self.path(a, b))

    def heal(self, a: str, b: str) -> None:
        """Undo :meth:`cut`."""
        self.internet.heal(*self.path(a, b))

    def set_link(self, a: str, b: str, link: Link, *, one_way: bool = False) -> None:
        """Change the path between two sites, each by its name or that of a node in it."""
        one, other = self.path(a, b)
        self.internet.set_link(one, other, link)
        if not one_way:
            self.internet.set_link(other, one, link)

    def silence(self, name: str) -> None:
        """Let a node, or all of a site, die silently: nothing passes to it or from it, no carrier is lost."""
        self._let_pass(name, silent=True)

    def revive(self, name: str) -> None:
        """Undo :meth:`silence`."""
        self._let_pass(name, silent=False)

    def change_address(self, name: str, address: IPv4Address | IPv6Address) -> None:
        """Give a site, by its name or that of a node in it, another public address, as a provider does.

        Connections from the old one are lost, also those that a NAT box translates.  Raises ConfigError when
        the site has no address of that version, the new one is not of the Internet, or somebody has it.
        """
        number = self.port(name)
        old = self._builder(number).public(address.version)
        topology = with_address(self.topology, number, address)
        machine, interface = outer_interface(topology.sites[number])
        take = SiteBuilder(topology, number, self.machines).take_address(address.version, interface)
        self.machines[machine].ip([f"addr del {old} dev {interface}", *take])
        self.topology = topology
        for other, site in enumerate(self.topology.sites):
            if other != number and not site.offline:
                machine, interface = outer_interface(site)
                self.machines[machine].ip(self._builder(other).meet([number], address.version, interface))

    def _build(self) -> None:
        self._check_path_length()
        self.logs.mkdir()
        sites = self.topology.sites
        names = [_INTERNET, *(name for site in sites for name in site.machines)]
        for name in names:
            self.machines[name] = Machine(self.record.namespace(name), self.directory / name)
        create_machines(self.machines.values())
        outer = [None if site.offline else outer_interface(site) for site in sites]
        self.internet = start_internet(
            self._internet,
            [each and Port(self.machines[each[0]], each[1]) for each in outer],
            self.topology.links,
            lines=[Line(site.rate_mbit, site.rate_mbit) for site in sites],
            home=self.machines[_INTERNET],
            log=self.logs / "switch.log",
        )
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(lambda number: self._builder(number).build(), range(len(sites))):
                pass  # asking for each result raises what went wrong
        for site in sites:
            if site.upnp:
                self._upnp.append(self._start_upnp(site))

    def _check_path_length(self) -> None:
        """Programs make sockets below a node's directory; the kernel takes no path of more than 107 bytes."""
        longest = max(self.topology.nodes, key=len)
        over = len(os.fsencode(self.directory / longest)) + _SOCKET_NAME - _SOCKET_PATH_MAX
        if over > 0:
            raise ConfigError(f"{self.directory}: too long by {over} bytes for the sockets of node {longest}")

    def _start_upnp(self, site: Site) -> upnp.Upnp:
        tells = None if site.carrier else site.address  # behind a carrier it finds out that it is of no use
        if site.upnp == "lying":
            tells = upnp.LIE
        box = self.box(site.name)
        log = self.logs / f"{site.box}.log"
        return upnp.start_upnp(box, inside="lan", outside="inet", tells=tells, log=log)

    def _remove(self) -> None:
        try:
            for each in self._upnp:
                each.stop()
            if hasattr(self, "internet"):
                self.internet.stop()
        finally:  # also at a second Ctrl-C
            cleanup.clean(self.record, keep_directory=self.keep_files)

    def _builder(self, number: int) -> SiteBuilder:
        return SiteBuilder(self.topology, number, self.machines)

    def _ports(self, *names: str) -> list[int]:
        """Those of sites, each by its name or that of a node in it; ConfigError names all that are none."""
        known = dict.fromkeys([*self.topology.nodes, *(site.name for site in self.topology.sites)])
        unknown = [
            f"no node or site {name!r}{did_you_mean(name, known) or '; there are: ' + ', '.join(known)}"
            for name in names
            if name not in known
        ]
        if unknown:
            raise ConfigError(*unknown)
        return [self.topology.port(name) for name in names]

    def _let_pass(self, name: str, *, silent: bool) -> None:
        """All of a site at its port of the Internet; one of several nodes at its port of the LAN."""
        port = self.port(name)
        site = self.topology.sites[port]
        if not site.offline and (name == site.name or len(site.nodes) == 1):
            (self.internet.silence if silent else self.internet.revive)(port)
            return
        for node in [name] if name in site.nodes else site.nodes:
            set_silent(self.box(name), f"lan{site.nodes.index(node)}", silent=silent)
