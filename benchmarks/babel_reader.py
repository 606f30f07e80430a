"""How fast is babeld's table in Python's hands: the C reader against the plain-Python reference.

A fake babeld, a process of its own, dumps 50,000 routes (10,000 destinations by 5 neighbours).  Measured,
several times in turn: from connecting until Python holds the best route of each destination (one is looked
up, so its index is built) and the delta.  The reference reads the same socket and does the same with
babel_ctl.connection.  Then the interpreter lock is held by real work during the dump: the fake, which allows
100 ms per write as babeld does, must not cut us off, and the tables must be exact.

    python -m benchmarks.babel_reader [--routes N] [--runs N]
"""

import argparse
import asyncio
import json
import random
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
from benchmarks.interval import median_interval
from benchmarks.result import Figure, Measured, figure, run
from re6st_core.errors import RouterError

NEIGHBOURS = 5
MOST_CUTS = 20
RATIO = 10  # the C reader is to be so much faster
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
    """Raises ConnectionResetError when it was too slow for babeld."""
    start = time.perf_counter()
    connection = Connection()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        while connection.phase is not Phase.SYNCED:
            data = sock.recv(1 << 16)
            if not data:
                raise ConnectionResetError
            if to_send := connection.feed_untrusted(data):
                sock.sendall(to_send)
    live = connection.tables.live[Kind.BEST]
    best = BestRoutes(pack(list(live.values())))
    assert best[LOOKED_UP].installed
    delta = connection.tables.take()
    elapsed = time.perf_counter() - start
    assert (len(best), len(delta[Kind.ROUTE][0])) == (-(-routes // NEIGHBOURS), routes)
    return elapsed


async def held(routes: int) -> list[Figure]:
    exponent, elapsed = 1_000_000, 0.0
    while elapsed < 2:  # find a computation that takes at least 2 s in one call
        start = time.perf_counter()
        pow(7, exponent)
        elapsed = time.perf_counter() - start
        exponent = int(exponent * (1.3 if elapsed > 1 else 2))
    with tempfile.TemporaryDirectory() as name, fake(Path(name), routes) as (path, process):
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
    return [
        figure("lock held", round(seconds, 2), "s"),
        Figure("tables exact", "yes" if exact and synced else "no", "", bound="yes", met=exact and synced),
        figure("times cut off", cuts, "", at_most=0),
        figure("connections", connections, "", at_most=1),
    ]


async def compared(routes: int, runs: int) -> list[Figure]:
    times: dict[str, list[float]] = {"C reader": [], "plain Python": []}
    cuts = 0
    with tempfile.TemporaryDirectory() as name, fake(Path(name), routes) as (path, process):
        for _ in range(runs):
            times["C reader"].append(1000 * await native(path, routes))
            while len(times["plain Python"]) < len(times["C reader"]):
                try:
                    times["plain Python"].append(1000 * await asyncio.to_thread(reference, path, routes))
                except OSError as exc:
                    cuts += 1
                    if cuts > MOST_CUTS:
                        raise RouterError(
                            "plain Python is cut off each time: the machine is too busy"
                        ) from exc
        process.communicate("")
    ratios = [slow / fast for fast, slow in zip(times["C reader"], times["plain Python"], strict=True)]
    rng = random.Random(1)

    def median(name: str, values: list[float], unit: str, at_least: float | None = None) -> Figure:
        low, high = (round(end, 1) for end in median_interval(values, rng))
        value = round(statistics.median(values), 1)
        return figure(name, value, unit, interval=(low, high), at_least=at_least)

    medians = [median(kind, values, "ms") for kind, values in times.items()]
    cut = figure("plain Python cut off and repeated", cuts, "times")
    return [*medians, median("ratio", ratios, "", at_least=RATIO), cut]


def parser() -> argparse.ArgumentParser:
    """The options, but those of all benchmarks."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--routes", type=int, default=50_000)
    made.add_argument("--runs", type=int, default=7)
    return made


def measure(options: argparse.Namespace) -> Measured:
    runs = 3 if options.quick else options.runs
    note = f"{options.routes} routes, medians of {runs} runs in turn."
    figures = [*asyncio.run(compared(options.routes, runs)), *asyncio.run(held(options.routes))]
    return Measured(figures, notes=[note])


if __name__ == "__main__":
    sys.exit(run("babel_reader", "How fast is babeld's table in Python's hands?", parser(), measure))
