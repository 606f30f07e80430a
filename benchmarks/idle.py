"""What does a node cost that holds twenty tunnels and has nothing to carry?

    python -m benchmarks.idle [--tunnels N] [--seconds S] [--quick] [--json]      (root)

One node opens WireGuard tunnels to many others, which open two each.  Once Babel hears all of them, and
after a while for the first measurements to be over, the processor time of its daemon and of what it started
is read at both ends of a quiet time, and its memory at the end.
"""

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from benchmarks.result import Figure, Measured, figure, run
from netns_lab.building import outer_interface
from netns_lab.cleanup import processes_inside
from netns_lab.lab import Lab
from netns_lab.mesh import Mesh
from netns_lab.topology import Topology, parse_topology
from re6st_core.errors import RouterError

HUB = "hub"
CORE_PERCENT, RSS_MB = 0.5, 64
OTHERS_OPEN = 2
"""Tunnels: so that they hear of each other, and the hub of all of them."""
SETTLE_S = 20.0
"""Babel's smoothed RTT, first selections and the registry's answers are over by then."""
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_UP_WITHIN_S = 180


def star(tunnels: int) -> Topology:
    """A registry, the hub, and as many others as it is to have tunnels."""
    document = {
        "site": [{"name": "registry"}, {"name": HUB}, {"name": "n", "count": tunnels}],
        "defaults": {"client_count": OTHERS_OPEN},
        "node": {HUB: {"client_count": tunnels}},
        "delays": {"all_ms": 20},
    }
    return parse_topology(document, name="idle", source="idle")


def processor_s(pid: int) -> float:
    """Processor time of a process with all of its threads; 0 if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def by_program(pids: Iterable[int]) -> dict[str, float]:
    """Processor seconds of several processes by the name of their program."""
    spent: dict[str, float] = {}
    for pid in pids:
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            continue
        spent[name] = spent.get(name, 0.0) + processor_s(pid)
    return spent


def sent_bytes(lab: Lab) -> int:
    """What the hub has sent to the underlay."""
    machine, interface = outer_interface(lab.topology.site_of(HUB))
    return int(lab.machines[machine].run(["cat", f"/sys/class/net/{interface}/statistics/tx_bytes"]))


async def all_active(mesh: Mesh, tunnels: int) -> None:
    """Wait until Babel hears every peer of the hub; RouterError when that takes too long."""
    try:
        async with asyncio.timeout(_UP_WITHIN_S):
            while True:
                with contextlib.suppress(RouterError):  # it does not answer yet
                    if sum(tunnel.active for tunnel in await mesh.tunnels(HUB)) >= tunnels:
                        return
                await asyncio.sleep(1)
    except TimeoutError as exc:
        raise RouterError(f"the hub does not have {tunnels} tunnels within {_UP_WITHIN_S} s") from exc


async def play(tunnels: int, seconds: float) -> list[Figure]:
    """Form the star, then watch the hub do nothing."""
    with Lab(star(tunnels)) as lab, Mesh(lab, registry="registry", client_count=tunnels) as mesh:
        await mesh.unless_one_dies(mesh.form(lambda _: None))
        await mesh.unless_one_dies(all_active(mesh, tunnels))
        await asyncio.sleep(SETTLE_S)
        daemon = mesh.daemon_pid(HUB)
        assert daemon is not None, "unless_one_dies() has watched it"
        inside = list(processes_inside({os.stat(lab.machines[HUB].path).st_ino}))
        before, daemon_before, sent = by_program(inside), processor_s(daemon), sent_bytes(lab)
        await mesh.unless_one_dies(asyncio.sleep(seconds))
        after = by_program(inside)
        spent = {name: 100 * (after.get(name, 0.0) - before[name]) / seconds for name in before}
        of = f"{tunnels} tunnels"
        share = 100 * (processor_s(daemon) - daemon_before) / seconds
        return [
            figure("daemon", share, "% of a core", of=of, at_most=CORE_PERCENT),
            figure("daemon's memory", mesh.rss_mb(HUB), "MB", of=of, at_most=RSS_MB),
            figure("babeld", spent["babeld"], "% of a core", of=of),
            figure("all WireGuard processes", spent["wireguard-go"], "% of a core", of=of),
            figure("sent, everything", (sent_bytes(lab) - sent) / seconds / 1000, "kB/s", of=of),
        ]


def measure(options: argparse.Namespace) -> Measured:
    """One star."""
    tunnels, seconds = (3, 5.0) if options.quick else (options.tunnels, options.seconds)
    return Measured(
        asyncio.run(play(tunnels, seconds)),
        notes=[
            "The daemon's share has its health probes, selection rounds and tables in it.",
            "Sent: probes, Babel, WireGuard's keepalives and selection, with all headers below them.",
        ],
    )


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.idle", description="A node without traffic.")
    options.add_argument("--tunnels", type=int, default=20, help="tunnels of the node (default: 20)")
    options.add_argument("--seconds", type=float, default=120, help="how long it is watched (default: 120)")
    return options


if __name__ == "__main__":
    sys.exit(run("idle", "What does a node cost that carries nothing?", parser(), measure))
