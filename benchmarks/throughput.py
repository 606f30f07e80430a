"""What does TCP lose in one of our tunnels, against a tunnel of the same kind and MTU made by hand?

    left namespace ===== veth, nothing between ===== right namespace
      ours:   node: two whole nodes, daemon, babeld and all, over the WireGuard tunnel that they make
              wireguard, openvpn: the node's adapters alone: one open port (nftables), server mode
      hand:   the same program started by hand with the same options and surroundings (session, environment,
              log level, MTU, queue length, mark), a port of its own, no nftables, addresses given by "ip"

Pairs of samples in turn, the order within a pair drawn; the result is the median of the ratios ours / hand
with a bootstrap confidence interval. Run as root:

    python -m benchmarks.throughput [--pairs N] [--seconds N] [--kind node|wireguard|openvpn]
"""

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from benchmarks.data_plane.sampling import tcp
from benchmarks.interval import median_interval
from benchmarks.result import Figure, Measured, figure, package_versions, run
from netns_lab import cleanup
from netns_lab.namespace import Machine
from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import RouterError
from re6st_core.json_wire import encode_json
from re6st_core.netparams import NetworkParameters, sign_parameters
from re6st_core.prefix import Prefix
from re6stnet.adapters.inotify import wait_for_file
from re6stnet.adapters.netlink import Kernel
from re6stnet.adapters.one_port import OnePort
from re6stnet.adapters.openvpn import Credentials, OpenvpnClients, OpenvpnServer
from re6stnet.adapters.store import SqliteStore
from re6stnet.adapters.wireguard import SOCKETS, WireguardDevices, WireguardTunnel
from re6stnet.adapters.wireguard_key import PrivateKey
from tests.helpers.certs import NodeFiles, TestCA
from tests.helpers.namespace_tests import TestNamespace, connect, device_name
from tests.helpers.node_certificates import NETWORK, authority, write_node

TARGET = 0.97
_REACHED_WITHIN_S = 90
MARK = 0x6E6
LINK_LOCAL = IPv6Address("fe80::1"), IPv6Address("fe80::2")
PORT = 1194
SERVER_CN, CLIENT_CN = "1/16", "7/16"
MTU = {"node": 1420, "wireguard": 1420, "openvpn": 1400}
Sides = tuple[TestNamespace, TestNamespace]
SetUp = Callable[[Sides, Path], AbstractAsyncContextManager[str]]
"""Makes a tunnel between the sides; gives the address of the right one through it."""


def at(side: int, port: int, protocol: Protocol = Protocol.UDP) -> Endpoint:
    return Endpoint(ip_address(f"192.0.2.{side + 1}"), port, protocol)


@asynccontextmanager
async def kernels_of(sides: Sides) -> AsyncIterator[list[Kernel]]:
    kernels = []
    for side in sides:
        with side.entered():
            kernels.append(await Kernel.open())
    try:
        yield kernels
    finally:
        for kernel in kernels:
            await kernel.close()


def number(sides: Sides, devices: list[str], subnet: str) -> str:
    """Give the ends overlay addresses; the right one's."""
    for position, (side, device) in enumerate(zip(sides, devices, strict=True), 1):
        side.run(f"ip address add {subnet}::{position}/64 dev {device} nodad")
    return f"{subnet}::2"


# --- ours -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def our_wireguard(sides: Sides, directory: Path) -> AsyncIterator[str]:
    keys = [PrivateKey.generate(), PrivateKey.generate()]
    names = [device_name(), device_name()]
    async with kernels_of(sides) as kernels:
        devices = [WireguardDevices(kernel, directory, MARK) for kernel in kernels]
        ports = [OnePort(PORT, MARK) for _ in sides]
        try:
            for mine, side in enumerate(sides):
                with side.entered():
                    await ports[mine].start({51000 + mine: [at(not mine, PORT)]})
                    await devices[mine].create(
                        WireguardTunnel(
                            device=names[mine],
                            private_key=keys[mine],
                            listen_port=51000 + mine,
                            peer_key=keys[not mine].public,
                            endpoint=at(not mine, PORT),
                            mtu=MTU["wireguard"],
                            link_local=LINK_LOCAL[mine],
                        )
                    )
            yield number(sides, names, "2001:db8:42:a")
        finally:
            for mine, side in enumerate(sides):
                with side.entered():
                    await devices[mine].remove(names[mine])
                    await ports[mine].stop()


@asynccontextmanager
async def our_openvpn(sides: Sides, directory: Path) -> AsyncIterator[str]:
    ca = TestCA(directory / "our-ca")
    mine = [
        Credentials(files.ca, files.certificate, files.key) for files in map(ca.node, (SERVER_CN, CLIENT_CN))
    ]
    names = [device_name(), device_name()]
    async with kernels_of(sides) as kernels:
        server = OpenvpnServer(kernels[1], directory, directory, mine[0], MARK)
        clients = OpenvpnClients(kernels[0], directory, mine[1], MARK)
        try:
            with sides[1].entered():
                await server.start(names[1], port=PORT, control_port=9, max_clients=4, mtu=MTU["openvpn"])
            with sides[0].entered():
                await clients.create(names[0], SERVER_CN, at(1, PORT, Protocol.TCP), mtu=MTU["openvpn"])
                await clients.connected(names[0], mtu=MTU["openvpn"])
            yield number(sides, names, "2001:db8:42:b")
        finally:
            with sides[0].entered():
                await clients.remove(names[0])
            with sides[1].entered():
                await server.stop()


@asynccontextmanager
async def our_nodes(sides: Sides, directory: Path) -> AsyncIterator[str]:
    """Two whole nodes, daemon and babeld and all, that know each other from their caches; no registry."""
    ca, prefixes = authority(), (Prefix(16, 1), Prefix(16, 2))
    parameters = encode_json(sign_parameters(NetworkParameters(version=1), ca.key))
    commands = []
    for mine, side in enumerate(sides):
        files = write_node(directory, ca, prefixes[mine])
        with closing(SqliteStore(files / "state")) as store:
            store.save_value("parameters", parameters)
            store.save_peers([(prefixes[not mine], tuple(at(not mine, PORT, p) for p in Protocol))])
        paths = [word for name in ("state", "run", "log") for word in (f"--{name}", str(files / name))]
        paths += ["--ca", str(files / "ca.crt"), "--cert", str(files / "cert.crt")]
        node = [sys.executable, "-m", "re6stnet.cli.daemon", "--registry", "http://127.0.0.1:9/", *paths]
        node += ["--key", str(files / "cert.key"), "--ip", f"192.0.2.{mine + 1}"]
        # Both ends of a tunnel have a device of the same name: each needs a /run/wireguard of its own.
        commands.append(Machine(side.name, directory / side.name).command(node))
    address = str(NETWORK.address(prefixes[1]))
    async with running(commands, directory):
        try:
            async with asyncio.timeout(_REACHED_WITHIN_S):
                await reached(sides[0], address)
        except TimeoutError as exc:
            raise RouterError(f"the nodes do not reach each other within {_REACHED_WITHIN_S} s") from exc
        yield address


async def reached(side: TestNamespace, address: str) -> None:
    """Wait for an answer."""
    while True:
        asking = inside(side, "ping", "-c", "1", "-W", "1", address)
        process = await asyncio.create_subprocess_exec(
            *asking, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if await process.wait() == 0:
            return
        await asyncio.sleep(0.1)  # without a route it fails at once


# --- by hand --------------------------------------------------------------------------------------------


def inside(side: TestNamespace, *argv: str) -> list[str]:
    """The argument list that runs ``argv`` in a namespace."""
    return ["ip", "netns", "exec", side.name, *argv]


@asynccontextmanager
async def running(commands: list[list[str]], directory: Path) -> AsyncIterator[None]:
    """Run programs in the foreground meanwhile."""
    with (directory / "hand.log").open("ab") as log:
        started = [
            await asyncio.create_subprocess_exec(
                *argv,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                # As ours, and as a service: the scheduler shares the processors among sessions (autogroup).
                start_new_session=True,
                env={**os.environ, "LOG_LEVEL": "error"},
            )
            for argv in commands
        ]
    try:
        yield
    finally:
        for process in started:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def hand_made_key(path: Path) -> str:
    """Write a private key; its public key."""
    secret = subprocess.run(["wg", "genkey"], capture_output=True, check=True).stdout
    path.write_bytes(secret)
    shown = subprocess.run(["wg", "pubkey"], input=secret, capture_output=True, check=True).stdout
    return shown.decode().strip()


@asynccontextmanager
async def hand_wireguard(sides: Sides, directory: Path) -> AsyncIterator[str]:
    SOCKETS.mkdir(parents=True, exist_ok=True)
    names = [device_name(), device_name()]
    keys = []
    for name in names:
        keys.append(hand_made_key(directory / name))
    commands = [inside(side, "wireguard-go", "-f", name) for side, name in zip(sides, names, strict=True)]
    async with running(commands, directory):
        for mine, side in enumerate(sides):
            await wait_for_file(SOCKETS / f"{names[mine]}.sock")
            side.run(
                f"wg set {names[mine]} private-key {directory / names[mine]} listen-port {52000 + mine}"
                f" fwmark {MARK}"
                f" peer {keys[not mine]} endpoint 192.0.2.{2 - mine}:{52001 - mine}"
                " allowed-ips ::/0,0.0.0.0/0"
            )
            side.run(f"ip link set {names[mine]} mtu {MTU['wireguard']} up")
        yield number(sides, names, "2001:db8:42:c")


@asynccontextmanager
async def hand_openvpn(sides: Sides, directory: Path) -> AsyncIterator[str]:
    ca = TestCA(directory / "hand-ca")
    names = [device_name(), device_name()]

    def argv(name: str, files: NodeFiles, *more: str) -> list[str]:
        return [
            "openvpn", "--dev", name, "--dev-type", "tap", "--tun-mtu", str(MTU["openvpn"]),
            "--mark", str(MARK), "--ca", str(files.ca),
            "--cert", str(files.certificate), "--key", str(files.key),
            "--tls-version-min", "1.3", "--socket-flags", "TCP_NODELAY", "--ping", "1", *more,
        ]  # fmt: skip

    server = argv(names[1], ca.node(SERVER_CN), "--mode", "server", "--tls-server", "--dh", "none",
                  "--proto", "tcp6-server", "--lport", "52100")  # fmt: skip
    client = argv(names[0], ca.node(CLIENT_CN), "--client", "--nobind", "--proto", "tcp4-client", "--remote",
                  "192.0.2.2", "52100")  # fmt: skip
    commands = [inside(sides[1], *server), inside(sides[0], *client)]
    async with kernels_of(sides) as kernels, running(commands, directory):
        for mine, side in enumerate(sides):
            with side.entered():
                await kernels[mine].wait_for_link(names[mine])
                await kernels[mine].bring_up(names[mine], mtu=MTU["openvpn"])
        yield number(sides, names, "2001:db8:42:d")


SET_UPS: dict[str, tuple[SetUp, SetUp]] = {
    "node": (our_nodes, hand_wireguard),
    "wireguard": (our_wireguard, hand_wireguard),
    "openvpn": (our_openvpn, hand_openvpn),
}
"""Kind to (ours, by hand)."""
TITLES = {
    "node": "two whole nodes, WireGuard",
    "wireguard": "WireGuard adapter with the one-port rules",
    "openvpn": "OpenVPN adapter (TCP)",
}


# --- measuring ------------------------------------------------------------------------------------------


async def sample(sides: Sides, address: str, seconds: int) -> float:
    """Mbit/s of one TCP stream from left to right, as received."""

    def command(argv: Sequence[str]) -> list[str]:
        return inside(sides[0], *argv)

    _, mbit_s = await asyncio.to_thread(tcp, command, ip_address(address), seconds)
    return mbit_s


async def compare(kind: str, pairs: int, seconds: int, seed: int) -> list[Figure]:
    """Measure one kind of tunnel."""
    rng = random.Random(seed)
    cleanup.clean_dead()
    record = cleanup.register("throughput", None)
    assert record.directory is not None
    try:
        sides = TestNamespace(record.namespace("left")), TestNamespace(record.namespace("right"))
        for side in sides:
            Machine(side.name, record.directory / side.name).create()
            side.run("ip link set lo up")
        connect(*sides)
        results = await samples(kind, sides, record.directory, pairs=pairs, seconds=seconds, rng=rng)
    finally:
        cleanup.clean(record, keep_directory=False)
    ratios = [mine / theirs for mine, theirs in zip(results["ours"], results["hand"], strict=True)]
    low, high = (round(end, 3) for end in median_interval(ratios, rng))
    title = TITLES[kind]
    return [
        figure("ours", round(statistics.median(results["ours"]), 1), "Mbit/s", of=title),
        figure("by hand", round(statistics.median(results["hand"]), 1), "Mbit/s", of=title),
        Figure(
            "ratio",
            round(statistics.median(ratios), 3),
            "",
            of=title,
            interval=(low, high),
            bound=f">= {TARGET}",
            met=high >= TARGET,
        ),
        figure("MTU", MTU[kind], "bytes", of=title),
    ]


async def samples(
    kind: str, sides: Sides, directory: Path, *, pairs: int, seconds: int, rng: random.Random
) -> dict[str, list[float]]:
    """Mbit/s of ours and of the hand-made one, pair by pair."""
    ours, hand = SET_UPS[kind]
    results: dict[str, list[float]] = {"ours": [], "hand": []}
    async with (
        ours(sides, directory) as our_address,
        hand(sides, directory) as hand_address,
        running([inside(sides[1], "iperf3", "-s")], directory),
    ):
        targets = {"ours": our_address, "hand": hand_address}
        for address in targets.values():
            sides[0].run(f"ping -c 3 -i 0.2 -W 5 {address}")
            await sample(sides, address, 1)  # warm-up
        for _ in range(pairs):
            for label in rng.sample(sorted(targets), 2):
                results[label].append(await sample(sides, targets[label], seconds))
    return results


def parser() -> argparse.ArgumentParser:
    """The options, but those of all benchmarks."""
    made = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--pairs", type=int, default=15)
    made.add_argument("--seconds", type=int, default=3, help="of TCP per sample")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--kind", choices=sorted(SET_UPS), action="append")
    return made


def measure(options: argparse.Namespace) -> Measured:
    """Every kind, or those asked for."""
    pairs, seconds = (2, 1) if options.quick else (options.pairs, options.seconds)
    figures: list[Figure] = []
    for kind in options.kind or SET_UPS:
        print(f"throughput: {kind}", file=sys.stderr, flush=True)
        figures += asyncio.run(compare(kind, pairs, seconds, options.seed))
    notes = [f"Medians of {pairs} pairs of {seconds} s each; the ratio is the median of the pairs' ratios."]
    return Measured(figures, package_versions("wireguard-go", "openvpn", "babeld", "iperf3"), notes)


if __name__ == "__main__":
    sys.exit(run("throughput", "What does TCP lose in one of our tunnels?", parser(), measure))
