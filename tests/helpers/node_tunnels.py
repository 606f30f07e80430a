"""A machine for the tunnel manager, in memory: devices, port rules, babeld; any step may fail."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Any, cast

from babel_ctl.supervisor import BabeldSupervisor
from re6st_core.address import Endpoint
from re6st_core.netparams import NetworkParameters
from re6st_core.prefix import Prefix
from re6stnet.adapters.mtu_keeper import MtuKeeper
from re6stnet.adapters.netlink import Kernel
from re6stnet.adapters.one_port import OnePort
from re6stnet.adapters.openvpn import OpenvpnClients, OpenvpnHandle
from re6stnet.adapters.prober import Prober, Probes
from re6stnet.adapters.routing import BabelRouting
from re6stnet.adapters.store import SqliteStore
from re6stnet.adapters.tunnels import TunnelManager
from re6stnet.adapters.wireguard import DeviceHandle, WireguardDevices, WireguardTunnel
from re6stnet.adapters.wireguard_uapi import DeviceState
from tests.helpers.node_certificates import NETWORK
from tests.helpers.node_fakes import Collected, FakeBabeldSupervisor

OWN = Prefix(16, 1)
MARK = 1


@dataclass
class Machine:
    """What is there, whichever daemon made it."""

    store: SqliteStore
    steps: list[str] = field(default_factory=list)
    fail: dict[str, Exception] = field(default_factory=dict)
    devices: dict[str, asyncio.Event] = field(default_factory=dict)
    """By name; the event: its process has ended."""
    endpoints: dict[str, Endpoint] = field(default_factory=dict)
    """Where a device sends to, if its peer has moved."""
    ports: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    """One-port rules: local port and sources."""

    def step(self, name: str) -> None:
        """Note a step, or fail as the test wants it."""
        self.steps.append(name)
        if error := self.fail.get(name):
            raise error

    def saved(self) -> list[str]:
        """Names of the tunnels on disk."""
        return [saved.record.tunnel for saved in self.store.tunnels()]


class _OnePort:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    async def start(self, tunnels: Mapping[int, Iterable[Any]]) -> None:
        self._machine.step("rules start")
        self._machine.ports = {port: tuple(sources) for port, sources in tunnels.items()}

    async def set_sources(self, local_port: int, sources: Iterable[Any]) -> None:
        self._machine.ports[local_port] = tuple(sources)
        self._machine.step("rules set")

    async def remove(self, local_port: int) -> None:
        if local_port in self._machine.ports:
            self._machine.step("rules remove")
            del self._machine.ports[local_port]


class _Carrier:
    """WireGuard devices, or OpenVPN clients."""

    def __init__(self, machine: Machine, kind: str) -> None:
        self._machine = machine
        self._kind = kind

    def _make(self, device: str) -> None:
        assert self._machine.saved(), "the intent is on disk before anything is made"
        self._machine.devices[device] = asyncio.Event()
        try:
            self._machine.step(f"{self._kind} create")
        except Exception:
            del self._machine.devices[device]
            raise

    async def _adopt(self, device: str) -> bool:
        self._machine.step(f"{self._kind} adopt")
        return device in self._machine.devices

    async def ended(self, device: str) -> str:
        if process := self._machine.devices.get(device):
            await process.wait()
        return f"{device} ended"

    async def remove(self, device: str) -> None:
        self._machine.step(f"{self._kind} remove")
        self._machine.devices.pop(device, None)


class _Wireguard(_Carrier):
    async def state(self, device: str) -> DeviceState:
        return DeviceState(0, 0, 0, 0, self._machine.endpoints.get(device))

    async def create(self, tunnel: WireguardTunnel) -> DeviceHandle:
        self._make(tunnel.device)
        return DeviceHandle(tunnel.device, {"pid": 7})

    async def adopt(self, handle: DeviceHandle) -> bool:
        return await self._adopt(handle.device)


class _Clients(_Carrier):
    async def create(self, device: str, _cn: str, _endpoint: Endpoint) -> OpenvpnHandle:
        self._make(device)
        return OpenvpnHandle(device, {"pid": 8})

    async def connected(self, _device: str, *, link_local: IPv6Address) -> None:
        assert link_local.is_link_local
        self._machine.step("openvpn connected")

    async def adopt(self, handle: OpenvpnHandle) -> bool:
        return await self._adopt(handle.device)


class _Kernel:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    async def links(self, name: str) -> list[str]:
        return [device for device in self._machine.devices if device == name]


class _Prober:
    """Which peers are probed, by tunnel."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.probed: dict[str, tuple[str, IPv6Address]] = {}

    def add(self, nonce: str, device: str, peer: IPv6Address) -> None:
        assert peer.is_link_local
        if error := self._machine.fail.get("probe"):
            raise error
        self.probed[nonce] = device, peer

    def remove(self, nonce: str) -> None:
        self.probed.pop(nonce, None)

    def probes(self, _nonce: str) -> Probes | None:
        return Probes(silent=False, rtt_us=2345, loss=0.25, sent=4, answered=3, foreign=0)


class _Mtu:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.watched: set[str] = set()

    async def settle(self, nonce: str, device: str, _peer: IPv6Address, most: int) -> None:
        self._machine.step(f"mtu of {device} up to {most}")
        self.watched.add(nonce)

    def watch(self, nonce: str, _device: str, _peer: IPv6Address) -> None:
        self.watched.add(nonce)

    def forget(self, nonce: str) -> None:
        self.watched.discard(nonce)


@dataclass
class Daemon:
    """One daemon's tunnel manager on a machine."""

    machine: Machine
    told: Collected = field(default_factory=Collected)

    def __post_init__(self) -> None:
        self.babeld = FakeBabeldSupervisor(self.machine.step)
        self.routing = BabelRouting(NETWORK, self.told)
        self.prober = _Prober(self.machine)
        self.mtu = _Mtu(self.machine)
        self.tunnels = TunnelManager(
            OWN, self.machine.store, port=41194, mark=MARK,
            kernel=cast(Kernel, _Kernel(self.machine)),
            one_port=cast(OnePort, _OnePort(self.machine)),
            wireguard=cast(WireguardDevices, _Wireguard(self.machine, "wireguard")),
            clients=cast(OpenvpnClients, _Clients(self.machine, "openvpn")),
            babeld=cast(BabeldSupervisor, self.babeld),
            routing=self.routing,
            parameters=lambda: NetworkParameters(version=1, rxcost=32),
            post=self.told,
            expel=self._expel,
            prober=cast(Prober, self.prober),
            mtu=cast(MtuKeeper, self.mtu),
        )  # fmt: skip

    async def _expel(self, cn: str) -> None:
        self.machine.step(f"expel {cn}")
