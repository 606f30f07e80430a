"""How fast is babeld's table in Python's hands: the C reader against the plain-Python reference.

A fake babeld, a process of its own, dumps 50,000 routes (10,000 destinations by 5 neighbours).  Measured,
several times in turn: from connecting until Python holds the best route of each destination (one is looked
up, so its index is built) and the delta.  The reference reads the same socket and does the same with
babel_ctl.connection.  Then the interpreter lock is held by real work during the dump: the fake, which allows
100 ms per write as babeld does, must not cut us off, and the tables must be exact.

    python benchmarks/babel_reader.py [--routes N] [--runs N] [--json]

Last result (2 cores, Linux 6.18, Python 3.11): C reader 0.044 s, reference 0.476 s, 10.9 x; lock held for
3.5 s by one pow(): synced meanwhile, no cut, exact.
"""

import argparse
import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Network
from pathlib import Path

from babel_ctl.client import BabelClient
from babel_ctl.connection import Connection, Phase, pack
from babel_ctl.messages import BestRoutes, Kind
from babel_ctl.testing import route_lines

NEIGHBOURS = 5
LOOKED_UP = IPv6Network("2001:db8::/64")


@contextmanager
def fake(folder: Path, routes: int) -> Iterator[tuple[Path, "subprocess.Popen[str]"]]:
    path = folder / "babeld.sock"
    argv = [sys.executable, "-m", "babel_ctl.testing", str(path), "--routes", str(routes)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        yield path, process


async def native(path: Path, routes: int) -> float:
    start = time.perf_counter()
    client = await BabelClient.connect(path, timeout_s=60)
    best = client.best_routes()
    assert best[LOOKED_UP].installed
    delta = client.take_delta()
    elapsed = time.perf_counter() - start
    assert (len(best), len(delta.routes.changed)) == (-(-routes // NEIGHBOURS), routes)
    client.close()
    return elapsed


def reference(path: Path, routes: int) -> float:
    start = time.perf_counter()
    connection = Connection()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        while connection.phase is not Phase.SYNCED:
            data = sock.recv(1 << 16)
            if not data:
                raise SystemExit("the fake babeld cut the plain-Python reader off: the machine is too busy")
            if to_send := connection.feed_untrusted(data):
                sock.sendall(to_send)
    live = connection.tables.live[Kind.BEST]
    best = BestRoutes(pack(list(live.values())))
    assert best[LOOKED_UP].installed
    delta = connection.tables.take()
    elapsed = time.perf_counter() - start
    assert (len(best), len(delta[Kind.ROUTE][0])) == (-(-routes // NEIGHBOURS), routes)
    return elapsed


async def held(folder: Path, routes: int) -> dict[str, object]:
    exponent, elapsed = 1_000_000, 0.0
    while elapsed < 2:  # find a computation that takes at least 2 s in one call
        start = time.perf_counter()
        pow(7, exponent)
        elapsed = time.perf_counter() - start
        exponent = int(exponent * (1.3 if elapsed > 1 else 2))
    with fake(folder, routes) as (path, process):
        client = BabelClient(path)
        client.start()
        start = time.perf_counter()
        pow(7, exponent)
        seconds = time.perf_counter() - start
        synced = client.state.connected
        await client.wait_connected(10)
        wanted = Connection()
        wanted.feed_untrusted(b"BABEL 1.0\nmy-id 02:00:00:00:00:00:00:01\nok\n")
        wanted.feed_untrusted("".join(f"add {line}\n" for line in route_lines(routes)).encode() + b"ok\n")
        best = BestRoutes(pack(list(wanted.tables.live[Kind.BEST].values())))
        exact = len(client.routes()) == routes and client.best_routes() == best
        connections = client.state.connections
        client.close()
        cuts = json.loads(process.communicate("")[0])["cuts"]
    return {"held_s": round(seconds, 2), "synced_meanwhile": synced, "cuts": cuts, "connections": connections,
            "exact": exact}  # fmt: skip


async def measure(routes: int, runs: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        times: dict[str, list[float]] = {"native": [], "reference": []}
        with fake(folder, routes) as (path, process):
            for _ in range(runs):
                times["native"].append(await native(path, routes))
                times["reference"].append(await asyncio.to_thread(reference, path, routes))
            process.communicate("")
        medians = {kind: statistics.median(values) for kind, values in times.items()}
        return {
            "routes": routes,
            "runs": runs,
            "native_s": round(medians["native"], 4),
            "reference_s": round(medians["reference"], 4),
            "ratio": round(medians["reference"] / medians["native"], 1),
            "lock_held": await held(folder, routes),
        }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--routes", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args()
    result = asyncio.run(measure(options.routes, options.runs))
    if options.json:
        print(json.dumps(result))
    else:
        print(f"{result['routes']} routes, median of {result['runs']} runs")
        print(f"  C reader   {result['native_s']:>8} s")
        print(f"  reference  {result['reference_s']:>8} s   {result['ratio']} x")
        print(f"  lock held  {result['lock_held']}")
    lock = result["lock_held"]
    assert isinstance(lock, dict)
    return 0 if float(str(result["ratio"])) >= 10 and lock["exact"] and lock["cuts"] == 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
