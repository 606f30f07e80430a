"""How exactly and how fast does the lab's Internet carry packets on this machine?

    python -m benchmarks.switch [--rate N] [--seconds S] [--quick] [--json]      (root)

Eight sites, 10 to 100 ms apart.  Every packet carries the time at which it was sent and the receiving kernel
stamps it, so the delay error is measured from outside; the switch's own lateness, which needs no assumption
about jitter or rate, stands beside it.  Then the same with everything that a link can do, the highest rate
without loss, the memory that 500 ports take, and how long 60 sites need to find each other.
"""

import argparse
import itertools
import os
import random
import socket
import statistics
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

from benchmarks.result import Figure, Measured, figure, run
from netns_lab.internet.link import Line, Link
from netns_lab.internet.stats import InternetStats
from netns_lab.internet.switch import Port, Switch
from netns_lab.lab import Lab
from netns_lab.topology import Topology, parse_topology

SITES = 8
PAYLOAD = 200
PORT = 5000
BURST = 32
BUFFER = 400 << 20  # bytes: what is received waits, stamped, until the sending is over
SO_RCVBUFFORCE, SO_TIMESTAMPNS, UDP_SEGMENT = 33, 35, 103  # socket(7), udp(7); not in the socket module
TICKS = os.sysconf("SC_CLK_TCK")


def topology(sites: int) -> Topology:
    """Sites, 10 to 100 ms apart (one way), the same ones each time."""
    rng = random.Random(1)
    rtt_ms = [[0.0] * sites for _ in range(sites)]
    for a, b in itertools.combinations(range(sites), 2):
        rtt_ms[a][b] = rtt_ms[b][a] = round(rng.uniform(20, 200), 1)
    document = {
        "title": "benchmark of the switch",
        "registry": "n1",
        "site": [{"name": "n", "count": sites}],
        "delays": {"rtt_ms": rtt_ms},
    }
    return parse_topology(document, name="switch-benchmark", source="switch-benchmark")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What became of packets that were sent evenly spaced, each on a path drawn by chance."""

    sent: int
    seconds: float
    delays: list[tuple[int, int, float]]  # source, to, ms, of each that arrived
    cpu: float  # share of one processor that the switch used meanwhile
    stats: InternetStats  # from before the first packet until after the last

    @property
    def lost(self) -> int:
        """How many did not arrive."""
        return self.sent - len(self.delays)


def processor_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def sockets(lab: Lab) -> Iterator[list[socket.socket]]:
    """One UDP socket per site, which has heard from all others: nobody looks for neighbours any more."""
    opened = []
    try:
        for site in lab.topology.sites:
            sock = lab.machines[site.nodes[0]].socket(socket.AF_INET, socket.SOCK_DGRAM)
            opened.append(sock)
            sock.bind((str(site.address), PORT))
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        for source, site in itertools.product(opened, lab.topology.sites):
            source.sendto(b"hello", (str(site.address), PORT))
        for sock in opened:
            sock.settimeout(5)
            for _ in opened:
                sock.recv(16)
            sock.setblocking(False)
        yield opened
    finally:
        for sock in opened:
            sock.close()


def send(lab: Lab, ends: Sequence[socket.socket], rate: int, seconds: float, burst: int = 1) -> Traffic:
    """Send that many packets per second, so many at once, and collect what arrives."""
    rng = random.Random(2)
    addresses = [(str(site.address), PORT) for site in lab.topology.sites]
    paths = list(itertools.permutations(range(len(ends)), 2))
    plan = [(ends[a], addresses[b]) for a, b in rng.choices(paths, k=int(rate * seconds) // burst)]
    filler = bytes(PAYLOAD - 8)
    for sock in ends:
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, PAYLOAD)  # one call, several packets
    pack, clock, now = struct.Struct("=q").pack, time.time_ns, time.monotonic_ns
    pid = lab.internet.pid
    assert pid is not None
    before, used = lab.internet.stats(), processor_seconds(pid)
    began = now()
    # What else runs here must not decide how fast we send.
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    for number, (source, address) in enumerate(plan):
        due = began + number * 1_000_000_000 * burst // rate
        while now() < due:
            pass  # waking up would take longer than the time between two packets
        source.sendto((pack(clock()) + filler) * burst, address)
    elapsed = (now() - began) / 1e9
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    after = wait_until_empty(lab)
    cpu = (processor_seconds(pid) - used) / elapsed
    number_of = {address[0]: number for number, address in enumerate(addresses)}
    delays = [item for to, sock in enumerate(ends) for item in arrived(sock, to, number_of)]
    return Traffic(len(plan) * burst, elapsed, delays, cpu, since(before, after))


def wait_until_empty(lab: Lab) -> InternetStats:
    """The counters once nothing is in flight any more."""
    while (stats := lab.internet.stats()).queued:
        time.sleep(0.05)
    return stats


def since(before: InternetStats, after: InternetStats) -> InternetStats:
    """The counters between two looks; lateness can't be taken apart and is that of the whole time."""
    ports = tuple(
        replace(
            new,
            received=new.received - old.received,
            delivered=new.delivered - old.delivered,
            dropped={
                reason: n for reason in new.dropped if (n := new.dropped[reason] - old.dropped.get(reason, 0))
            },
        )
        for old, new in zip(before.ports, after.ports, strict=True)
    )
    return replace(after, ports=ports)


def arrived(sock: socket.socket, to: int, number_of: dict[str, int]) -> Iterator[tuple[int, int, float]]:
    """Empty a socket: for each packet who sent it, to whom, and for how long it was on its way (ms)."""
    while True:
        try:
            data, ancillary, _, (host, _) = sock.recvmsg(PAYLOAD, 64)
        except BlockingIOError:
            return
        seconds, nanoseconds = struct.unpack_from("@ll", ancillary[0][2])
        took_ns = seconds * 1_000_000_000 + nanoseconds - struct.unpack_from("=q", data)[0]
        yield number_of[host], to, took_ns / 1e6


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def plain(rate: int, seconds: float) -> list[Figure]:
    """Delays only: how far off, at what cost."""
    with Lab(topology(SITES), label="benchmark", internet="switch") as lab, sockets(lab) as ends:
        traffic = send(lab, ends, rate, seconds)
        errors = [abs(ms - lab.topology.links[a][b].delay_ms) for a, b, ms in traffic.delays]
    of = f"delay only, {rate} packets/s"
    return [
        figure("delay error p50", statistics.median(errors), "ms", of=of),
        figure("delay error p99", percentile(errors, 0.99), "ms", of=of, at_most=1),
        figure("delay error max", max(errors), "ms", of=of),
        *lateness(traffic, rate, of),
    ]


def everything(rate: int, seconds: float) -> list[Figure]:
    """Jitter, loss, rates of paths and lines: the switch's own lateness, and whether all is as asked."""
    loss, jitter_ms, queue_ms = 0.01, 2.0, 100.0
    with Lab(topology(SITES), label="benchmark", internet="switch") as lab, sockets(lab) as ends:
        for a, b in itertools.permutations(range(SITES), 2):
            link = replace(lab.topology.links[a][b], jitter_ms=jitter_ms, loss=loss, rate_mbit=50.0, mtu=1400)
            lab.internet.set_link(a, b, link)
        for port in range(SITES):
            lab.internet.set_line(port, Line(200.0, 200.0))
        traffic = send(lab, ends, rate, seconds)
        extra = [ms - lab.topology.links[a][b].delay_ms for a, b, ms in traffic.delays]
    of = f"jitter, loss, rates, {rate} packets/s"
    return [
        figure(
            "loss", 100 * traffic.stats.dropped["loss"] / traffic.sent, "%", of=of, at_least=0.8, at_most=1.2
        ),
        figure("jitter and queues, mean", statistics.mean(extra), "ms", of=of),
        figure("jitter and queues, least", min(extra), "ms", of=of, at_least=0),
        figure("jitter and queues, most", max(extra), "ms", of=of, at_most=jitter_ms + 3 * queue_ms),
        *lateness(traffic, rate, of, lost=traffic.lost - traffic.stats.dropped["loss"]),
    ]


def lateness(traffic: Traffic, rate: int, of: str, lost: int | None = None) -> list[Figure]:
    stats = traffic.stats
    late = {"p50": stats.late_p50_us, "p99": stats.late_p99_us, "max": stats.late_max_us}
    return [
        *(
            figure(
                f"late {name}",
                None if us is None else us / 1000,
                "ms",
                of=of,
                at_most=1 if name == "p99" else None,
            )
            for name, us in late.items()
        ),
        figure("rate", traffic.sent / traffic.seconds, "packets/s", of=of, at_least=0.99 * rate),
        figure("share of one core", 100 * traffic.cpu, "%", of=of, at_most=100),
        figure("lost unasked", traffic.lost if lost is None else lost, "packets", of=of, at_most=0),
    ]


def highest_rate(seconds: float) -> list[Figure]:
    """The highest rate at which nothing is lost, in steps of a fifth; packets come in bursts, as of TCP."""
    best, rate, cpu, limit = 0.0, 40_000, 0.0, ""
    while not limit:
        with Lab(topology(SITES), label="benchmark", internet="switch") as lab, sockets(lab) as ends:
            traffic = send(lab, ends, rate, seconds, BURST)
        reached = traffic.sent / traffic.seconds
        if traffic.lost:
            limit = "packets are lost"
        elif reached < 0.95 * rate:
            limit = "the sender can't send more"
        if not traffic.lost and reached > best:
            best, cpu = reached, traffic.cpu
        rate = rate * 6 // 5
    of = f"delay only, bursts of {BURST}, until {limit}"
    return [
        figure("rate", best, "packets/s", of=of, at_least=30_000),
        figure("share of one core", 100 * cpu, "%", of=of),
    ]


def memory(ports: int) -> list[Figure]:
    """What the switch takes for that many ports, before and after frames went over every pair."""
    with Lab(topology(2), label="benchmark", internet="switch") as lab:
        home = lab.machines["internet"]
        links = [[Link(delay_ms=1 + (a * b) % 100) for b in range(ports)] for a in range(ports)]
        began = time.monotonic()
        where = [Port(home, f"tap{number}") for number in range(ports)]
        switch = Switch.start(where, links, home=home, log=lab.logs / "many.log")
        took = time.monotonic() - began
        try:
            resident = next(
                int(line.split()[1])
                for line in Path(f"/proc/{switch.pid}/status").read_text().splitlines()
                if line.startswith("VmRSS")
            )
        finally:
            switch.stop()
    of = f"{ports} ports"
    return [
        figure("memory", resident / 1024, "MiB", of=of, at_most=200),
        figure("start", took, "s", of=of),
    ]


def first_contact(sites: int) -> list[Figure]:
    """All sites send to all others at once, and nobody knows anybody yet."""
    with Lab(topology(sites), label="benchmark", internet="switch") as lab:
        pid = lab.internet.pid
        assert pid is not None
        ends = []
        for site in lab.topology.sites:
            ends.append(lab.machines[site.nodes[0]].socket(socket.AF_INET, socket.SOCK_DGRAM))
            ends[-1].bind((str(site.address), PORT))
        before, used, began = lab.internet.stats(), processor_seconds(pid), time.monotonic()
        heard: set[tuple[int, IPv4Address]] = set()
        for a, b in itertools.permutations(range(sites), 2):
            ends[a].sendto(b"hello", (str(lab.topology.sites[b].address), PORT))
        pairs = sites * (sites - 1)
        while len(heard) < pairs and time.monotonic() - began < 20:
            for number, sock in enumerate(ends):
                try:
                    while True:
                        heard.add((number, IPv4Address(sock.recvfrom(16)[1][0])))
                except BlockingIOError:
                    pass
        elapsed, stats = time.monotonic() - began, since(before, lab.internet.stats())
        cpu = processor_seconds(pid) - used
        for sock in ends:
            sock.close()
    of = f"{sites} sites find each other"
    return [
        figure("pairs that did", 100 * len(heard) / pairs, "%", of=of),
        figure("until all had", elapsed, "s", of=of),
        figure("frames carried", stats.delivered, "", of=of),
        figure("processor time", cpu, "s", of=of),
    ]


def measure(options: argparse.Namespace) -> Measured:
    """All of it."""
    seconds = 0.5 if options.quick else options.seconds
    figures = [
        *plain(options.rate, seconds),
        *everything(options.rate, seconds),
        *([] if options.quick else highest_rate(2)),
        *memory(50 if options.quick else 500),
        *first_contact(10 if options.quick else 60),
    ]
    return Measured(
        figures, notes=[f"Packets of {PAYLOAD + 28} bytes between {SITES} sites, paths drawn by chance."]
    )


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.switch", description=__doc__.partition("\n")[0])
    made.add_argument("--rate", type=int, default=30_000, help="packets per second (%(default)s)")
    made.add_argument("--seconds", type=float, default=10, help="for each part (%(default)s)")
    return made


if __name__ == "__main__":
    sys.exit(
        run("switch", "How exactly and how fast does the lab's Internet carry packets?", parser(), measure)
    )
