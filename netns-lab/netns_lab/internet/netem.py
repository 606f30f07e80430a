"""The Internet of a lab in the kernel: netem on the ports of a bridge; its commands are ``netem_plan``'s.

Differences from the switch, which follow from how the kernel works:

- a rate's queue counts frames, not time, and the line down shares one queue with the path;
- jitter is drawn per packet, so on a busy path it is nearly all that is allowed;
- a path with a rate keeps the order also when ``reorder`` is set;
- losses don't repeat: there is no seed;
- what a path loses by chance and by a full queue is one number, ``path``; what nft drops is not counted.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Self

from netns_lab import programs
from netns_lab.internet import netem_plan as plan
from netns_lab.internet.link import Line, Link, require
from netns_lab.internet.stats import InternetStats, PortStats
from netns_lab.internet.switch import Port, lost_interfaces
from netns_lab.namespace import Machine
from re6st_core.errors import RouterError


def available(home: Machine) -> bool:
    """Whether this kernel has netem: tried in the machine's namespace, nothing stays."""
    try:
        _batch("tc", home, ["qdisc add dev lo root netem", "qdisc del dev lo root"])
    except RouterError:
        return False
    return True


class Netem:
    """A running Internet; ports are numbered in the order given.  Implements internet.link.Internet."""

    kind = "netem"
    pid = None

    def __init__(self, home: Machine, ports: Sequence[Port | None], wanted: plan.Wanted) -> None:
        self._home = home
        self._ports = ports
        self._wanted = wanted

    @classmethod
    def start(
        cls,
        ports: Sequence[Port | None],
        links: Sequence[Sequence[Link]],
        *,
        lines: Sequence[Line] = (),
        home: Machine,
    ) -> Self:
        """Make it in the namespace of ``home``; RouterError: the kernel refuses, ConfigError: bad links."""
        used = [number for number, port in enumerate(ports) if port]
        all_lines = [*lines, *[Line()] * (len(ports) - len(lines))]
        require((f"link from port {a} to port {b}", links[a][b]) for a, b in plan.paths(used))
        require((f"line of port {port}", line) for port, line in enumerate(all_lines))
        internet = cls(home, ports, plan.Wanted(used, [list(row) for row in links], all_lines))
        try:
            internet._build()
        except BaseException:
            internet.stop()
            raise
        return internet

    @property
    def alive(self) -> bool:
        """Whether its namespace exists."""
        return self._home.path.exists()

    def set_link(self, source: int, to: int, link: Link) -> None:
        """Change one direction of a path; packets in flight keep their time."""
        self._known(source, to)
        require([(f"link from port {source} to port {to}", link)])
        other_mtu = self._wanted.links[source][to].mtu != link.mtu
        self._wanted.links[source][to] = link
        self._tc([plan.change_path("change", source, to, link)])
        if other_mtu:
            self._filter()

    def set_line(self, port: int, line: Line) -> None:
        """Change the access line of a port."""
        where = self._known(port)[0]
        require([(f"line of port {port}", line)])
        self._wanted.lines[port] = line
        self._tc([plan.line_down(port, line)])
        _batch("tc", where.machine, [plan.line_up(where.interface, line)])

    def cut(self, a: int, b: int) -> None:
        """Let nothing pass between two ports, both ways, also not what is in flight."""
        self._known(a, b)
        self._wanted.cut |= {(a, b), (b, a)}
        self._filter(empty=[(a, b), (b, a)])

    def heal(self, a: int, b: int) -> None:
        """Undo :meth:`cut`: the links are as they would be without it."""
        self._known(a, b)
        self._wanted.cut -= {(a, b), (b, a)}
        self._filter()

    def silence(self, port: int) -> None:
        """Drop all to and from a port while its carrier stays up: silent death of what is behind."""
        self._known(port)
        self._wanted.silent.add(port)
        self._filter(empty=[path for path in plan.paths(self._wanted.ports) if port in path])

    def revive(self, port: int) -> None:
        """Undo :meth:`silence`; what was due meanwhile is lost."""
        self._known(port)
        self._wanted.silent.discard(port)
        self._filter()

    def stats(self) -> InternetStats:
        """The counters as of now; RouterError when it is gone."""
        interfaces = {each["ifname"]: each["stats64"] for each in _json(self._home, "ip", "-s", "link")}
        lost = dict.fromkeys(range(len(self._ports)), 0)
        for queue in _json(self._home, "tc", "-s", "qdisc"):
            if queue["kind"] == "netem":
                lost[int(queue["handle"].rstrip(":"), 16) - 2] += queue["drops"]
        return InternetStats(
            ports=tuple(
                PortStats(
                    received=counters["rx"]["packets"] if counters else 0,
                    delivered=counters["tx"]["packets"] if counters else 0,
                    dropped={"path": lost[port]} if lost[port] else {},
                    gone=where is not None and counters is None,
                )
                for port, where in enumerate(self._ports)
                for counters in [interfaces.get(plan.cable(port))]
            )
        )

    def check(self) -> None:
        """Raise RouterError if frames are no longer carried: a port's interface was deleted."""
        each = zip(self._ports, self.stats().ports, strict=True)
        if gone := [port for port, stats in each if port and stats.gone]:
            raise RouterError(lost_interfaces(gone))

    def stop(self) -> None:
        """Remove it, and with it the interfaces of the ports; harmless when it is gone already."""
        try:
            names = [each["ifname"] for each in _json(self._home, "ip", "link")]
            _batch(
                "ip",
                self._home,
                [f"link del {name}" for name in names if name.partition("@")[0] in self._made()],
            )
        except RouterError:
            if self.alive:
                raise

    def _made(self) -> set[str]:
        return {plan.BRIDGE, *(plan.cable(port) for port in self._wanted.ports)}

    def _build(self) -> None:
        where = [(port.machine.namespace, port.interface) if port else None for port in self._ports]
        _batch("ip", self._home, plan.cables(where))
        _batch("bridge", self._home, plan.addresses(self._wanted.ports))
        self._filter()
        self._tc(plan.queues(self._wanted))
        for port, line in zip(self._ports, self._wanted.lines, strict=True):
            if port and line.up_mbit is not None:
                _batch("tc", port.machine, [plan.line_up(port.interface, line)])

    def _filter(self, empty: Iterable[tuple[int, int]] = ()) -> None:
        """Put the rules in force, then lose what is in flight on these paths."""
        self._home.nft("\n".join(plan.rules(self._wanted)))
        self._tc(line for a, b in empty for line in plan.empty_path(a, b, self._wanted.links[a][b]))

    def _tc(self, lines: Iterable[str]) -> None:
        _batch("tc", self._home, lines)

    def _known(self, *ports: int) -> list[Port]:
        """These ports; RouterError if there is no such one, or the same twice."""
        found = [self._ports[port] for port in ports if 0 <= port < len(self._ports)]
        if None in found or len(set(ports)) < len(ports) or len(found) < len(ports):
            raise RouterError(f"netem: no such port or path: {', '.join(map(str, ports))}")
        return [port for port in found if port]


def _batch(tool: str, machine: Machine, lines: Iterable[str]) -> None:
    """Run lines of ``ip``, ``bridge`` or ``tc`` in a machine's namespace; stops at the first that fails."""
    if text := "".join(f"{line}\n" for line in lines):
        programs.run([tool, "-n", machine.namespace, "-batch", "-"], text=text)


def _json(machine: Machine, tool: str, *words: str) -> list[dict[str, Any]]:  # Any: what the tool prints
    found: list[dict[str, Any]] = json.loads(programs.run([tool, "-n", machine.namespace, "-j", *words]))
    return found
