"""Four machines in a row, the same for each system that is compared; nobody can skip a neighbour.

::

    m0 right ══ left m1 right ══ left m2 right ══ left m3       a cable (veth) between neighbours

Machine ``n`` has the address 192.0.2.<n+1> and a route to each neighbour's, nothing else.  IPv4 is not
forwarded, so what is to get further must go through the programs in between; IPv6 is forwarded.
"""

import itertools
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path

from netns_lab.cleanup import LabRecord
from netns_lab.namespace import Machine, last_line
from re6st_core.errors import RouterError

Address = IPv4Address | IPv6Address
LENGTH = 4
_SYSCTL = {
    "net.ipv4.ip_forward": 0,
    "net.ipv4.conf.all.rp_filter": 0,
    "net.ipv4.conf.default.rp_filter": 0,
    "net.ipv6.conf.all.disable_ipv6": 0,
    "net.ipv6.conf.default.disable_ipv6": 0,
    "net.ipv6.conf.default.accept_dad": 0,
    "net.ipv6.conf.all.forwarding": 1,
}
_UP_WITHIN_S = 60.0
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Chain:
    """The machines of one system, and what runs on them."""

    system: str
    machines: tuple[Machine, ...]
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @classmethod
    def create(cls, record: LabRecord, system: str) -> "Chain":
        """Make machines and cables; they go with the record's clean-up."""
        assert record.directory is not None
        names = [f"{system}-m{n}" for n in range(LENGTH)]
        machines = tuple(Machine(record.namespace(name), record.directory / name) for name in names)
        for n, machine in enumerate(machines):
            machine.create()
            machine.sysctl(_SYSCTL)
            machine.ip(["link set lo up", f"address add {underlay(n)}/32 dev lo"])
        for n, (machine, following) in enumerate(itertools.pairwise(machines)):
            machine.ip(
                [
                    f"link add right type veth peer name left netns {following.namespace}",
                    "link set right up",
                    f"route add {underlay(n + 1)}/32 dev right src {underlay(n)}",
                ]
            )
            following.ip(["link set left up", f"route add {underlay(n)}/32 dev left src {underlay(n + 1)}"])
        return cls(system, machines)

    def directory(self, n: int) -> Path:
        """Where the files of a machine are."""
        return self.machines[n].directory

    def start(self, n: int, argv: Sequence[str], *, env: Mapping[str, str] | None = None) -> None:
        """Start a program of the system on a machine, in the foreground."""
        log = self.directory(n) / "log"
        self.processes.append(self.machines[n].start(argv, log=log, cwd=self.directory(n), env=env))

    def until(self, n: int, condition: Callable[[], bool], what: str) -> None:
        """Wait; RouterError with what machine ``n`` logged last when it does not come true."""
        deadline = time.monotonic() + _UP_WITHIN_S
        while not condition():
            ended = [each.args for each in self.processes if each.poll() is not None]
            if ended or time.monotonic() > deadline:
                log = self.directory(n) / "log"
                said = last_line(log) if log.exists() else "no log"
                raise RouterError(f"{self.system}, machine {n}: {what} is missing: {said} (see {log})")
            time.sleep(_LOOK_EVERY_S)

    def until_device(self, n: int, device: str) -> None:
        """Wait until a program has made its device."""

        def exists() -> bool:
            argv = ["ip", "-n", self.machines[n].namespace, "link", "show", "dev", device]
            return subprocess.run(argv, capture_output=True, check=False).returncode == 0

        self.until(n, exists, f"device {device}")

    def until_logged(self, n: int, text: str) -> None:
        """Wait until a program on machine ``n`` has said this."""
        log = self.directory(n) / "log"
        self.until(n, lambda: text in log.read_text(errors="replace"), repr(text))

    def until_reached(self, targets: Mapping[int, Address]) -> None:
        """Wait until each target answers the first machine."""
        for hops, address in targets.items():
            argv = self.machines[0].command(["ping", "-c", "1", "-W", "1", str(address)])

            def answers(argv: Sequence[str] = argv) -> bool:
                return subprocess.run(argv, capture_output=True, check=False).returncode == 0

            self.until(0, answers, f"an answer of the machine {hops} hops away")

    def route(self, network: IPv6Network, left: str, right: str) -> dict[int, IPv6Address]:
        """Give each machine an address and routes by hand over its devices; the addresses by hops from m0."""
        for n, machine in enumerate(self.machines):
            mine = network[n + 1]
            lines = [f"address add {mine}/128 dev lo nodad"]  # else no route may have it as source yet
            for other in range(LENGTH):
                if other != n:
                    device = right if other > n else left
                    via = self._via(n, other, device)
                    lines.append(f"route add {network[other + 1]}/128 dev {device} {via}src {mine}")
            machine.ip(lines)
        return {hops: network[hops + 1] for hops in range(1, LENGTH)}

    def _via(self, n: int, other: int, device: str) -> str:
        """``via`` of a route over a cable: unlike a tunnel, that asks for the neighbour's link address."""
        if device not in ("left", "right"):
            return ""
        self.machines[n].ip([f"address replace {_link_local(n)}/64 dev {device} nodad"])
        return f"via {_link_local(n + (1 if other > n else -1))} "


def underlay(n: int) -> str:
    """The address of machine ``n``, which only its neighbours reach."""
    return f"192.0.2.{n + 1}"


def _link_local(n: int) -> str:
    return f"fe80::{n + 1}"
