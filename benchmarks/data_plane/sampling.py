"""One sample of one way through a chain: TCP throughput, round-trip time, processor time, memory, hops.

The hops are read off the hop limit of the replies in every sample.  Some programs hide them: they encrypt end
to end and pass packets on unopened.  Those are held to the cables' counters: :func:`crosses_every_cable`.
"""

import json
import os
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data_plane.chain import Address, Chain
from netns_lab.cleanup import processes_inside
from netns_lab.namespace import Machine
from re6st_core.errors import RouterError

_PINGS = 100
_PING_EVERY_S = 0.004
_FIRST_HOP_LIMIT = 64  # what Linux sends with
_BUSY_TRIES = 20
_TICKS = os.sysconf("SC_CLK_TCK")
_MEASURING = {"iperf3", "ping"}


@dataclass(frozen=True, slots=True)
class Sample:
    """What one visit found."""

    tcp_mbit_s: float
    rtt_ms: float  # median
    hops: int  # by the hop limit of the replies
    cpu_s_per_gb: float  # of the system's processes on all machines of the way, per 10^9 bytes received
    rss_mb: float  # of the system's processes, on the machine where they need most


def start_servers(chain: Chain, hops: Sequence[int]) -> None:
    """Start what answers TCP samples on the machines so far away."""
    for n in hops:
        chain.start(n, ["iperf3", "-s"])


def take(chain: Chain, hops: int, address: Address, seconds: int) -> Sample:
    """Visit the machine ``hops`` away; RouterError when it can't be measured."""
    way = chain.machines[: hops + 1]
    rtt_ms, seen = ping(way[0], address)
    before = sum(map(cpu_s, _of_system(way)))
    received, mbit_s = tcp(way[0].command, address, seconds)
    used = sum(map(cpu_s, _of_system(way))) - before
    rss = max(sum(map(rss_mb, _of_system([machine]))) for machine in way)
    return Sample(mbit_s, rtt_ms, seen, used / (received / 1e9), rss)


def tcp(command: Callable[[Sequence[str]], list[str]], address: Address, seconds: int) -> tuple[int, float]:
    """Bytes that one TCP stream carried to ``address`` in whole seconds, and Mbit/s as received.

    ``command`` makes an argument list one that runs on the sending machine.
    """
    argv = ["iperf3", "-J", "-c", str(address), "-t", str(seconds)]
    for _ in range(_BUSY_TRIES):
        try:
            done = subprocess.run(
                command(argv), capture_output=True, text=True, check=False, timeout=seconds + 20
            )
        except subprocess.TimeoutExpired as exc:
            raise RouterError(f"iperf3 to {address} did not end within {seconds + 20} s") from exc
        try:
            report = json.loads(done.stdout)
        except ValueError:
            raise RouterError(
                f"iperf3 to {address}: {done.stderr.strip() or 'it printed no report'}"
            ) from None
        error = report.get("error", "")
        if not error:
            received = report["end"]["sum_received"]
            if not received["bytes"]:
                raise RouterError(f"iperf3 to {address}: nothing arrived")
            return received["bytes"], received["bits_per_second"] / 1e6
        if not any(word in error for word in ("busy", "refused", "reset by peer")):
            break
        time.sleep(0.1)  # the server is not there yet, or still puts the last sample away
    raise RouterError(f"iperf3 to {address}: {error}")


def ping(machine: Machine, address: Address) -> tuple[float, int]:
    """Median round-trip time in ms of small packets, and the hops their replies took."""
    argv = ["ping", "-n", "-c", str(_PINGS), "-i", f"{_PING_EVERY_S:g}", "-W", "2", str(address)]
    return parse_ping(machine.run(argv))


def parse_ping(output: str) -> tuple[float, int]:
    """Median of the times, and the most hops seen, from the lines of ``ping``."""
    replies = re.findall(r"ttl=(\d+) time=([\d.]+) ms", output)
    if len(replies) < _PINGS / 2:
        raise RouterError(f"only {len(replies)} of {_PINGS} echo requests were answered")
    hops = max(_FIRST_HOP_LIMIT - int(ttl) + 1 for ttl, _ in replies)
    return statistics.median(float(time_ms) for _, time_ms in replies), hops


def crosses_every_cable(chain: Chain, hops: int, address: Address) -> None:
    """Send a second of TCP; RouterError unless each cable of the way carried all of it and no other much."""
    before = _cables(chain)
    received, _ = tcp(chain.machines[0].command, address, 1)
    carried = [after - start for start, after in zip(before, _cables(chain), strict=True)]
    if min(carried[:hops]) < received or max(carried[hops:], default=0) > received / 10:
        raise RouterError(f"{chain.system}, {hops} hops: of {received} bytes the cables carried {carried}")


def path_mtu(machine: Machine, address: Address) -> int:
    """The largest packet that the device towards ``address`` takes, in bytes."""
    device = json.loads(machine.run(["ip", "-json", "route", "get", str(address)]))[0]["dev"]
    return int(json.loads(machine.run(["ip", "-json", "link", "show", "dev", device]))[0]["mtu"])


def _cables(chain: Chain) -> list[int]:
    """Bytes that each cable has carried to the right."""
    counts = []
    for machine in chain.machines[:-1]:
        shown = json.loads(machine.run(["ip", "-json", "-stats", "link", "show", "dev", "right"]))
        counts.append(int(shown[0]["stats64"]["tx"]["bytes"]))
    return counts


def _of_system(machines: Sequence[Machine]) -> Iterator[Path]:
    """``/proc`` folders of the processes on these machines, but those that measure."""
    for pid in processes_inside({machine.path.stat().st_ino for machine in machines}):
        folder = Path(f"/proc/{pid}")
        try:
            if (folder / "comm").read_text().strip() not in _MEASURING:
                yield folder
        except OSError:  # it ended meanwhile
            continue


def memory_by_program(machine: Machine) -> str:
    """As in "babeld 1.9 MB, 2 wireguard-go 30.1 MB"."""
    found: dict[str, list[float]] = {}
    for process in _of_system([machine]):
        found.setdefault((process / "comm").read_text().strip(), []).append(rss_mb(process))
    return ", ".join(
        f"{f'{len(sizes)} ' if len(sizes) > 1 else ''}{program} {sum(sizes):.1f} MB"
        for program, sizes in sorted(found.items())
    )


def cpu_s(process: Path) -> float:
    """Processor time that a process has used, in user space and for it in the kernel; 0 when it is gone."""
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_mb(process: Path) -> float:
    """Resident memory in MB (10^6 bytes); 0 when it is gone."""
    try:
        status = (process / "status").read_text()
    except OSError:
        return 0.0
    match = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return int(match[1]) * 1024 / 1e6 if match else 0.0
