"""The systems that are compared, sampled in turn: each round visits every way once, in drawn order."""

import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from subprocess import CalledProcessError

from benchmarks.data_plane import hand_made, other_programs, our_mesh, sampling
from benchmarks.data_plane.chain import Address, Chain
from benchmarks.data_plane.sampling import Sample
from benchmarks.interval import median_interval
from benchmarks.result import Figure, figure
from netns_lab.cleanup import LabRecord
from re6st_core.errors import RouterError


@dataclass(frozen=True, slots=True)
class System:
    """One thing to compare."""

    title: str
    start: Callable[[Chain], Mapping[int, Address]]  # gives the addresses to visit, by hops
    hides_hops: bool = False  # packets are passed on unopened: their hop limit does not sink
    peer: str | None = None  # the hand-made system that does the same


BARE = "bare"
SYSTEMS = {
    BARE: System("bare cable", hand_made.start_bare),
    "wireguard": System("WireGuard by hand", hand_made.start_wireguard),
    "openvpn-tcp": System("OpenVPN by hand, TCP", hand_made.start_openvpn_tcp),
    "openvpn-udp": System("OpenVPN by hand, UDP", hand_made.start_openvpn_udp),
    "ours": System("ours", our_mesh.start_with_udp, peer="wireguard"),
    "ours-no-udp": System("ours, UDP blocked", our_mesh.start_without_udp, peer="openvpn-tcp"),
    "tinc": System("tinc", other_programs.start_tinc),
    "nebula": System("nebula", other_programs.start_nebula, hides_hops=True),
    "yggdrasil": System("yggdrasil", other_programs.start_yggdrasil, hides_hops=True),
    "yggdrasil-1420": System("yggdrasil, MTU 1420", other_programs.start_small_yggdrasil, hides_hops=True),
}
Way = tuple[str, int]
"""A system and how many hops."""


@dataclass(slots=True)
class Comparison:
    """Chains that are up, and what has been found on them."""

    say: Callable[[str], None]
    chains: dict[str, Chain] = field(default_factory=dict)
    targets: dict[Way, Address] = field(default_factory=dict)
    mtu: dict[Way, int] = field(default_factory=dict)
    rounds: list[dict[Way, Sample]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)  # system or way -> why it is not measured

    def start(self, record: LabRecord, names: Sequence[str], hops: Sequence[int]) -> None:
        """Make and start the systems; one that does not work is left out and told."""
        for name in names:
            began = time.monotonic()
            try:
                chain = self.chains[name] = Chain.create(record, name)
                reached = SYSTEMS[name].start(chain)
                wanted = {far: address for far, address in reached.items() if far in hops}
                chain.until_reached(wanted)
                sampling.start_servers(chain, list(wanted))
                for far, address in wanted.items():
                    sampling.crosses_every_cable(chain, far, address)
                    self.mtu[name, far] = sampling.path_mtu(chain.machines[0], address)
                    self.targets[name, far] = address
                self.say(f"{SYSTEMS[name].title}: up ({time.monotonic() - began:.1f} s)")
            except (RouterError, CalledProcessError, OSError) as exc:
                self._fails(SYSTEMS[name].title, exc)

    def sample(self, rng: random.Random, seconds: int) -> None:
        """One round.  RouterError when the chains are gone: then nothing further can be measured."""
        gone = [
            name for name, chain in self.chains.items() if not all(m.path.exists() for m in chain.machines)
        ]
        if gone:
            raise RouterError(f"another program has removed the namespaces of {', '.join(gone)}")
        found: dict[Way, Sample] = {}
        for way in rng.sample(sorted(self.targets), len(self.targets)):
            name, hops = way
            try:
                sample = sampling.take(self.chains[name], hops, self.targets[way], seconds)
                if sample.hops != (1 if SYSTEMS[name].hides_hops else hops):
                    raise RouterError(f"replies took {sample.hops} hops")
                found[way] = sample
            except RouterError as exc:
                self._fails(title(way), exc)
        self.rounds.append(found)

    def _fails(self, what: str, exc: Exception) -> None:
        self.failures[what] = str(exc)
        self.say(f"{what}: FAILED: {exc}")

    def memory_notes(self) -> list[str]:
        """What the memory of ours consists of, on the first relay."""
        return [
            f"{SYSTEMS[name].title}, memory on m1: {sampling.memory_by_program(chain.machines[1])}."
            for name, chain in self.chains.items()
            if SYSTEMS[name].peer and any(name == measured for measured, _ in self.targets)
        ]

    def figures(self, rng: random.Random) -> list[Figure]:
        """Medians over the rounds; differences and ratios are taken within a round, under like load.

        What could not be started has a figure without value.
        """
        found = [each for way in self.targets for each in self._of(way, rng)]
        measured = {each.of for each in found}
        return [
            *found,
            *(figure("TCP", None, "Mbit/s", of=each) for each in self.failures if each not in measured),
        ]

    def _of(self, way: Way, rng: random.Random) -> list[Figure]:
        name, hops = way
        peer = SYSTEMS[name].peer

        def row(
            column: str, unit: str, digits: int, value: Callable[[Mapping[Way, Sample]], float]
        ) -> Figure:
            values = []
            for found in self.rounds:
                try:
                    values.append(value(found))
                except KeyError:  # one of the samples failed in that round
                    continue
            if not values:
                return figure(column, None, unit, of=title(way))
            low, high = (round(end, digits) for end in median_interval(values, rng))
            return figure(
                column, round(statistics.median(values), digits), unit, of=title(way), interval=(low, high)
            )

        rows = [row("TCP", "Mbit/s", 1, lambda found: found[way].tcp_mbit_s)]
        if (peer, hops) in self.targets and peer is not None:
            theirs = peer, hops
            rows.append(
                row("of by hand", "", 3, lambda found: found[way].tcp_mbit_s / found[theirs].tcp_mbit_s)
            )
        bare = BARE, hops
        if name != BARE and bare in self.targets:
            rows.append(row("added RTT", "ms", 3, lambda found: found[way].rtt_ms - found[bare].rtt_ms))
        if name == BARE:
            rows.append(row("RTT", "ms", 3, lambda found: found[way].rtt_ms))
        else:
            rows.append(row("CPU", "s/GB", 1, lambda found: found[way].cpu_s_per_gb))
            rows.append(row("RSS", "MB", 1, lambda found: found[way].rss_mb))
        return [*rows, figure("MTU", self.mtu[way], "bytes", of=title(way))]


def title(way: Way) -> str:
    """As in "tinc, 2 hops"."""
    name, hops = way
    return f"{SYSTEMS[name].title}, {hops} hop{'s' * (hops > 1)}"


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(f"data_plane: {text}", file=sys.stderr, flush=True)
