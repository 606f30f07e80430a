"""The OpenVPN server across daemons and deaths; the process itself is a stand-in, the store is real."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, cast

import pytest

from babel_ctl.config import InterfaceParameters
from babel_ctl.supervisor import BabeldSupervisor
from re6st_core.errors import ConfigError, RouterError
from re6st_core.prefix import Prefix
from re6stnet.adapters.openvpn import OpenvpnHandle, OpenvpnServer
from re6stnet.adapters.openvpn_management import Client
from re6stnet.adapters.routing import link_local
from re6stnet.adapters.store import SqliteStore
from re6stnet.adapters.tcp_server import LAST_RETRY_S, RECONCILE_S, RENEW_S, TcpServer
from re6stnet.adapters.tunnels import SERVER_DEVICE, SERVER_NAME
from tests.helpers.node_fakes import FakeBabeldSupervisor
from tests.helpers.node_time import in_virtual_time, settle

OWN = Prefix(16, 1)
PORT, CONTROL_PORT = 1194, 8443


@dataclass
class Machine:
    """Where processes live on when their daemon dies: pid -> still running."""

    running: dict[int, asyncio.Event] = field(default_factory=dict)
    started: list[float] = field(default_factory=list)
    slow: bool = False
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Until then a server that was spawned does not listen."""
    fail: list[Exception] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)


class FakeServer:
    """``OpenvpnServer`` of one daemon."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        if not machine.slow:
            machine.ready.set()
        self.pid: int | None = None
        self.revoked: set[int] = set()
        self.options: dict[str, Any] = {}
        self.stopped = 0

    async def start(
        self,
        device: str,
        *,
        port: int,
        control_port: int,
        max_clients: int,
        link_local: IPv6Address,
        on_spawn: Callable[[OpenvpnHandle], None],
    ) -> OpenvpnHandle:
        self.machine.started.append(asyncio.get_running_loop().time())
        if self.machine.fail:
            raise self.machine.fail.pop(0)
        self.options = {"port": port, "control_port": control_port, "link_local": link_local}
        self.pid = 100 + len(self.machine.started)
        self.machine.running[self.pid] = asyncio.Event()
        handle = OpenvpnHandle(device, {"pid": self.pid})
        on_spawn(handle)
        await self.machine.ready.wait()
        return handle

    async def adopt(self, handle: OpenvpnHandle, *, link_local: IPv6Address) -> bool:
        assert link_local.is_link_local
        pid = handle.process.get("pid")
        if pid is None:
            raise RouterError("malformed identity of a process")
        self.pid = pid if pid in self.machine.running else None
        return self.pid is not None

    async def set_revoked(self, serials: Iterable[int]) -> None:
        self.revoked = set(serials)

    async def ended(self) -> str:
        if self.pid is None:
            return "the OpenVPN server does not run"
        await self.machine.running[self.pid].wait()
        return "the OpenVPN server ended"

    async def stop(self) -> None:
        self.stopped += 1
        if self.pid is not None:
            self.die()

    async def clear(self, device: str) -> None:
        assert device == SERVER_DEVICE
        for pid in list(self.machine.running):
            self.machine.running.pop(pid).set()

    async def clients(self) -> tuple[Client, ...]:
        if self.pid is None:
            raise RouterError("nobody answers")
        return tuple(self.machine.clients)

    async def disconnect(self, cn: str) -> bool:
        if self.pid is None:
            raise RouterError("nobody answers")
        there = [client for client in self.machine.clients if client.cn == cn]
        self.machine.clients = [client for client in self.machine.clients if client.cn != cn]
        return bool(there)

    def die(self) -> None:
        assert self.pid is not None
        self.machine.running.pop(self.pid).set()
        self.pid = None


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with contextlib.closing(SqliteStore(tmp_path / "state")) as store:
        yield store


def daemon(
    machine: Machine, store: SqliteStore, port: int = PORT, accepted: Callable[[], set[str]] | None = None
) -> tuple[TcpServer, FakeServer]:
    server = FakeServer(machine)
    return TcpServer(cast(OpenvpnServer, server), OWN, store, port=port, accepted=accepted), server


async def join(server: TcpServer) -> FakeBabeldSupervisor:
    babeld = FakeBabeldSupervisor()
    await server.join(cast(BabeldSupervisor, babeld), InterfaceParameters)
    return babeld


def test_it_starts_with_the_address_by_which_clients_know_it(store: SqliteStore) -> None:
    async def story() -> None:
        tcp, server = daemon(Machine(), store)
        assert not await tcp.start(CONTROL_PORT, [5, 6])
        assert server.options == {
            "port": PORT, "control_port": CONTROL_PORT, "link_local": link_local(SERVER_NAME, OWN),
        }  # fmt: skip
        assert server.revoked == {5, 6}
        babeld = await join(tcp)
        assert babeld.interfaces == {SERVER_DEVICE}
        await tcp.stop()
        assert server.stopped == 1

    in_virtual_time(story())


def test_the_next_daemon_adopts_it_if_the_ports_are_the_same(store: SqliteStore) -> None:
    async def story() -> None:
        machine = Machine()
        await daemon(machine, store)[0].start(CONTROL_PORT, ())
        tcp, server = daemon(machine, store)
        assert await tcp.start(CONTROL_PORT, [7])
        assert len(machine.started) == 1
        assert server.revoked == {7}

    in_virtual_time(story())


@pytest.mark.parametrize(("port", "control_port"), [(1195, CONTROL_PORT), (PORT, 8444)])
def test_with_other_ports_it_is_started_anew(store: SqliteStore, port: int, control_port: int) -> None:
    async def story() -> None:
        machine = Machine()
        await daemon(machine, store)[0].start(CONTROL_PORT, ())
        tcp, server = daemon(machine, store, port)
        assert not await tcp.start(control_port, ())
        assert (server.options["port"], server.options["control_port"]) == (port, control_port)
        assert list(machine.running) == [102]

    in_virtual_time(story())


@pytest.mark.parametrize("saved", [None, b"garbage", b'{"process":{},"port":1194,"control_port":8443}'])
def test_a_memory_that_makes_no_sense_is_no_obstacle(store: SqliteStore, saved: bytes | None) -> None:
    async def story() -> None:
        if saved is not None:
            store.save_value("openvpn_server", saved)
        tcp, server = daemon(Machine(), store)
        assert not await tcp.start(CONTROL_PORT, ())
        assert server.pid is not None

    in_virtual_time(story())


def test_a_server_that_died_meanwhile_is_started(store: SqliteStore) -> None:
    async def story() -> None:
        machine = Machine()
        await daemon(machine, store)[0].start(CONTROL_PORT, ())
        machine.running.clear()
        tcp, _ = daemon(machine, store)
        assert not await tcp.start(CONTROL_PORT, ())
        assert len(machine.started) == 2

    in_virtual_time(story())


def test_it_is_restarted_when_it_dies_and_the_next_daemon_knows_the_new_one(store: SqliteStore) -> None:
    async def story() -> None:
        machine = Machine()
        tcp, server = daemon(machine, store)
        await tcp.start(CONTROL_PORT, ())
        await join(tcp)
        server.die()
        await asyncio.sleep(2)
        assert list(machine.running) == [102]
        assert await daemon(machine, store)[0].start(CONTROL_PORT, ())
        await tcp.stop()

    in_virtual_time(story())


def test_one_that_dies_again_and_again_is_restarted_ever_more_rarely(store: SqliteStore) -> None:
    async def story() -> None:
        machine = Machine()
        tcp, server = daemon(machine, store)
        await tcp.start(CONTROL_PORT, ())
        await join(tcp)
        machine.fail = [RouterError("bad certificate"), ConfigError("openvpn is missing")] * 4
        server.die()
        await asyncio.sleep(400)
        waits = [b - a for a, b in zip(machine.started[1:], machine.started[2:], strict=False)]
        assert waits == [2, 4, 8, 16, 32, 60, 60, 60]
        # After a long life the next death is a first one again.
        await asyncio.sleep(2 * LAST_RETRY_S)
        server.die()
        await asyncio.sleep(1.5)
        assert server.pid is not None
        await tcp.stop()

    in_virtual_time(story())


def test_stopping_while_it_waits_for_a_restart(store: SqliteStore) -> None:
    async def story() -> None:
        machine = Machine()
        tcp, server = daemon(machine, store)
        await tcp.start(CONTROL_PORT, ())
        await join(tcp)
        server.die()
        await settle()
        await tcp.stop()
        await asyncio.sleep(10)
        assert machine.running == {}

    in_virtual_time(story())


@pytest.mark.parametrize("address", ["0.0.0.0", "::1"])
def test_a_port_that_another_program_has_is_named(store: SqliteStore, address: str) -> None:
    async def story() -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as other:
            other.bind((address, 0))
            other.listen()
            port = other.getsockname()[1]
            machine = Machine()
            tcp, _ = daemon(machine, store, port)
            with pytest.raises(
                ConfigError, match=f"cannot listen on TCP port {port}: Address already in use"
            ):
                await tcp.start(CONTROL_PORT, ())
            assert machine.started == []

    in_virtual_time(story())


def test_a_daemon_killed_during_the_start_leaves_a_server_that_the_next_one_knows(store: SqliteStore) -> None:
    async def story() -> None:
        machine = Machine(slow=True)
        tcp, _ = daemon(machine, store)
        start = asyncio.create_task(tcp.start(CONTROL_PORT, ()))
        await settle()
        start.cancel()
        assert await daemon(machine, store)[0].start(CONTROL_PORT, ())
        assert list(machine.running) == [101]

    in_virtual_time(story())


def test_a_server_that_nobody_noted_down_is_cleared_away_first(store: SqliteStore) -> None:
    async def story() -> None:
        machine = Machine(running={99: asyncio.Event()})
        assert not await daemon(machine, store)[0].start(CONTROL_PORT, ())
        assert list(machine.running) == [101]

    in_virtual_time(story())


def client(cn: str, second: int = 0) -> Client:
    return Client(cn, datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC), 0, 0)


def test_a_client_without_a_tunnel_is_sent_away_but_not_before_its_time(store: SqliteStore) -> None:
    async def story() -> None:
        machine = Machine()
        tcp, _ = daemon(machine, store, accepted=lambda: {"2/16"})
        await tcp.start(CONTROL_PORT, ())
        await join(tcp)
        machine.clients = [client("2/16"), client("3/16")]
        await asyncio.sleep(RECONCILE_S + 1)
        assert machine.clients == [client("2/16"), client("3/16")]
        machine.clients.append(client("4/16"))
        await asyncio.sleep(RECONCILE_S)
        assert machine.clients == [client("2/16"), client("4/16")]
        # It came again meanwhile: that is a new connection, with a time of its own.
        machine.clients = [client("4/16", 9)]
        await asyncio.sleep(RECONCILE_S)
        assert machine.clients == [client("4/16", 9)]
        await asyncio.sleep(RECONCILE_S)
        assert machine.clients == []
        await tcp.stop()

    in_virtual_time(story())


@pytest.mark.parametrize("busy", [False, True])
def test_with_a_new_certificate_it_is_started_anew_when_nobody_is_there_or_in_a_week(
    store: SqliteStore, busy: bool
) -> None:
    async def story() -> None:
        machine = Machine()
        machine.ready.set()
        tcp, _ = daemon(machine, store, accepted=lambda: {"2/16"})
        await tcp.start(CONTROL_PORT, ())
        await join(tcp)
        machine.clients = [client("2/16")] if busy else []
        await asyncio.sleep(2 * RECONCILE_S)
        assert len(machine.started) == 1
        await tcp.renewed()
        await asyncio.sleep(RENEW_S - 3600 if busy else 0)
        assert len(machine.started) == 1
        await asyncio.sleep(3700)
        assert len(machine.started) == 2
        await asyncio.sleep(3 * RENEW_S if not busy else 3600)
        assert len(machine.started) == 2
        await tcp.stop()

    in_virtual_time(story())


def test_sending_away_is_tolerant(store: SqliteStore) -> None:
    async def story() -> None:
        machine = Machine()
        tcp, _ = daemon(machine, store, accepted=set)
        await tcp.expel("2/16")
        await tcp.start(CONTROL_PORT, ())
        machine.clients = [client("2/16")]
        for _ in range(2):
            await tcp.expel("2/16")
        assert machine.clients == []

    in_virtual_time(story())


def test_revocation_takes_effect_at_run_time(store: SqliteStore) -> None:
    async def story() -> None:
        tcp, server = daemon(Machine(), store)
        await tcp.start(CONTROL_PORT, [5])
        await tcp.set_revoked([5, 6])
        assert server.revoked == {5, 6}

    in_virtual_time(story())
