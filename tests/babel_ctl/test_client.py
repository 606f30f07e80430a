"""The client: one contract for the fake and the real babeld; then what only the fake can do."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Protocol

import pytest

from babel_ctl.client import BabelClient
from babel_ctl.config import PLACEHOLDER_INTERFACE, BabeldConfig, InterfaceParameters
from babel_ctl.connection import Connection, pack
from babel_ctl.errors import NoAnswerError, RouterError
from babel_ctl.messages import BestRoutes, Kind, Records
from babel_ctl.process import DetachedProcess
from babel_ctl.testing import FakeBabeld, route_lines
from tests.helpers.namespace_tests import namespaces

ROUTER_ID = "02:00:00:00:00:00:00:01"


class Babeld(Protocol):
    path: Path

    async def start(self) -> None: ...
    async def kill(self) -> None: ...


class Fake:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.babeld = FakeBabeld(path, router_id=ROUTER_ID)

    async def start(self) -> None:
        self.babeld = FakeBabeld(self.path, router_id=ROUTER_ID)
        self.babeld.put([f"interface {PLACEHOLDER_INTERFACE} up false"])
        self.babeld.start()

    async def kill(self) -> None:
        self.babeld.stop(unclean=True)


class Real:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = BabeldConfig(
            control_socket=path, state_file=path.with_name("state"), log_file=path.with_name("log"),
            network=IPv6Network("2001:db8:42::/48"), subnet=IPv6Network("2001:db8:42:1::/64"),
            address=IPv6Address("2001:db8:42:1::1"), router_id=ROUTER_ID,
        )  # fmt: skip
        self.process: DetachedProcess | None = None

    async def start(self) -> None:
        self.process = DetachedProcess.spawn(self.config.argv(), log=self.config.log_file)

    async def kill(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()
            self.process = None


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.root)])
async def babeld(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Babeld]:
    path = tmp_path / "babeld.sock"
    if request.param == "fake":
        fake = Fake(path)
        await fake.start()
        yield fake
        fake.babeld.stop()
        return
    with namespaces(1) as [namespace], namespace.entered():
        real = Real(path)
        await real.start()
        yield real
        await real.kill()


@pytest.fixture
async def client(babeld: Babeld) -> AsyncIterator[BabelClient]:
    client = await BabelClient.connect(babeld.path)
    yield client
    client.close()


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeBabeld]:
    fake = FakeBabeld(tmp_path / "babeld.sock")
    fake.start()
    yield fake
    fake.stop()


@asynccontextmanager
async def connected(fake: FakeBabeld) -> AsyncIterator[BabelClient]:
    client = await BabelClient.connect(fake.path)
    try:
        yield client
    finally:
        client.close()


async def until(client: BabelClient, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await client.wait_delta()


def names(client: BabelClient) -> set[str]:
    return {interface.name for interface in client.interfaces()} - {PLACEHOLDER_INTERFACE}


# The contract


async def test_connecting_tells_who_babeld_is_and_what_it_has(client: BabelClient) -> None:
    assert client.state.connected
    assert client.state.version.startswith("babeld-1.")
    assert client.state.router_id == ROUTER_ID
    assert client.state.connections == 1
    delta = await client.wait_delta()
    assert [interface.name for interface in delta.interfaces.changed] == [PLACEHOLDER_INTERFACE]
    assert not client.neighbours()
    assert not client.routes()
    assert not client.xroutes()
    assert client.best_routes() == {}


async def test_an_interface_comes_and_goes_at_run_time(client: BabelClient) -> None:
    await client.add_interface("nosuch0", InterfaceParameters())
    assert names(client) == {"nosuch0"}
    delta = await client.wait_delta()
    assert "nosuch0" in {interface.name for interface in delta.interfaces.changed}
    await client.add_interface("nosuch0", InterfaceParameters(rxcost=99))  # accepted and ignored
    await client.flush_interface("nosuch0")
    assert names(client) == set()
    delta = await client.wait_delta()
    assert [interface.name for interface in delta.interfaces.removed] == ["nosuch0"]


async def test_what_came_and_went_between_two_deltas_is_in_none(client: BabelClient) -> None:
    await client.wait_delta()
    await client.add_interface("nosuch0", InterfaceParameters())
    await client.flush_interface("nosuch0")
    assert not client.take_delta()


async def test_a_refused_command_is_an_error_of_its_own(client: BabelClient) -> None:
    with pytest.raises(RouterError, match="refuses: No such interface"):
        await client.flush_interface("nosuch0")
    with pytest.raises(RouterError, match="does not understand"):
        await client.command("no such command")
    with pytest.raises(RouterError, match="line break"):
        await client.command("monitor\nmonitor")


async def test_answers_go_to_their_commands_when_many_are_sent_at_once(client: BabelClient) -> None:
    results = await asyncio.gather(
        client.add_interface("nosuch0", InterfaceParameters()),
        client.flush_interface("nosuch1"),
        client.add_interface("nosuch2", InterfaceParameters()),
        client.command("nonsense"),
        client.flush_interface("nosuch0"),
        return_exceptions=True,
    )
    assert [isinstance(result, RouterError) for result in results] == [False, True, False, True, False]
    assert names(client) == {"nosuch2"}


async def test_a_killed_babeld_empties_the_tables_and_its_successor_fills_them(
    babeld: Babeld, client: BabelClient
) -> None:
    await client.add_interface("nosuch0", InterfaceParameters())
    await client.wait_delta()
    await babeld.kill()
    await until(client, lambda: not client.state.connected)
    assert not client.interfaces()
    with pytest.raises(RouterError, match="not connected"):
        await client.flush_interface("nosuch0")
    babeld.path.unlink()
    await babeld.start()
    await client.wait_connected(10)
    assert client.state.connections == 2
    delta = await client.wait_delta()
    assert names(client) == set()
    assert [i.name for i in delta.interfaces.changed] == [PLACEHOLDER_INTERFACE]


@pytest.mark.root
async def test_a_stopped_babeld_is_an_error_in_time_and_its_late_answer_is_waited_for(tmp_path: Path) -> None:
    with namespaces(1) as [namespace], namespace.entered():
        real = Real(tmp_path / "babeld.sock")
        await real.start()
        client = BabelClient(real.path, command_timeout_s=0.2)
        client.start()
        await client.wait_connected(10)
        assert real.process
        real.process.send_signal(signal.SIGSTOP)
        with pytest.raises(NoAnswerError, match=r"did not answer within 0.2 s .*nosuch0"):
            await client.add_interface("nosuch0", InterfaceParameters())
        with pytest.raises(NoAnswerError):
            await client.flush_interface("nosuch1")
        answered = asyncio.ensure_future(client.wait_answered())
        await asyncio.sleep(0)
        assert not answered.done()
        real.process.send_signal(signal.SIGCONT)
        await asyncio.wait_for(answered, 10)
        assert names(client) == {"nosuch0"}
        await client.flush_interface("nosuch0")
        assert client.state.connections == 1
        client.close()
        await real.kill()


# With the fake alone


async def test_waiting_for_a_babeld_that_is_not_there_ends_with_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RouterError, match=r"babeld did not answer on .*babeld.sock within 0.05 s"):
        await BabelClient.connect(tmp_path / "babeld.sock", timeout_s=0.05)
    with pytest.raises(RouterError, match="cannot watch"):
        await BabelClient.connect(tmp_path / "missing" / "babeld.sock")
    with pytest.raises(RouterError, match="cannot watch"):
        await BabelClient.connect(tmp_path / ("long" * 40))


async def test_a_babeld_that_starts_later_is_found_without_polling(tmp_path: Path) -> None:
    fake = FakeBabeld(tmp_path / "babeld.sock")
    connecting = asyncio.create_task(BabelClient.connect(fake.path))
    await asyncio.sleep(0)
    fake.start()
    client = await connecting
    client.close()
    fake.stop()


async def test_snapshots_and_deltas_are_what_the_reference_makes_of_the_same_bytes(fake: FakeBabeld) -> None:
    lines = route_lines(2000)
    fake.put(lines)
    reference = Connection()
    reference.feed_untrusted(b"BABEL 1.0\nmy-id 02:00:00:00:00:00:00:01\nok\n")
    reference.feed_untrusted("".join(f"add {line}\n" for line in lines).encode() + b"ok\n")
    live = reference.tables.live
    async with connected(fake) as client:
        delta = await client.wait_delta()
        best = BestRoutes(pack(list(live[Kind.BEST].values())))
        assert client.best_routes() == best
        assert len(best) == 400
        assert set(client.routes()) == set(Records(pack(list(live[Kind.ROUTE].values()))))
        assert set(delta.routes.changed) == set(client.routes())
        assert set(delta.best.changed) == set(best.values())
        assert set(delta.neighbours.changed) == set(client.neighbours())
        assert {n.rtt_us for n in client.neighbours()} == {10_000, 11_001, 12_002, 13_003, 14_004}


async def test_the_best_route_follows_the_installed_one(fake: FakeBabeld) -> None:
    destination = IPv6Network("2001:db8::/64")
    first, second = route_lines(2)[-2:]
    fake.put([first, second])
    async with connected(fake) as client:
        assert client.best_routes()[destination].via == IPv6Address("fe80::ff:0")
        assert client.best_routes() is client.best_routes()
        await client.wait_delta()
        fake.put(
            [first.replace("installed yes", "installed no"), second.replace("installed no", "installed yes")]
        )
        await until(client, lambda: client.best_routes().get(destination) is not None
                    and client.best_routes()[destination].via == IPv6Address("fe80::ff:1"))  # fmt: skip
        fake.flush("route", second.split()[1])
        await until(client, lambda: destination not in client.best_routes())
        assert len(client.routes()) == 1


async def test_garbage_ends_the_connection_with_the_reason_and_a_new_one_is_made(fake: FakeBabeld) -> None:
    fake.put(route_lines(10))
    async with connected(fake) as client:
        await client.wait_delta()
        fake.say("add route spoilt\n")
        await until(client, lambda: client.state.connections == 2 and client.state.connected)
        assert len(client.routes()) == 10
        assert fake.cuts == 0


async def test_a_babeld_gone_mad_cannot_take_all_memory(fake: FakeBabeld) -> None:
    fake.put(route_lines(300))
    client = BabelClient(fake.path, max_entries=200)
    client.start()
    with pytest.raises(RouterError, match="more entries than allowed"):
        await client.wait_connected(0.2)
    client.close()


async def test_a_command_in_flight_when_babeld_dies_is_an_error(fake: FakeBabeld) -> None:
    async with connected(fake) as client:
        command = asyncio.create_task(client.command("dump"))
        await asyncio.sleep(0)
        fake.stop()
        with pytest.raises(RouterError):
            await command


async def test_after_close_everything_is_an_error_and_nothing_hangs(fake: FakeBabeld) -> None:
    client = await BabelClient.connect(fake.path)
    await client.wait_delta()
    waiting = asyncio.create_task(client.wait_delta())
    command = asyncio.create_task(client.command("dump"))
    await asyncio.sleep(0)
    client.close()
    client.close()
    for task in (waiting, command):
        with pytest.raises(RouterError, match="closed"):
            await task
    assert not client.state.connected
    assert not client.routes()
    with pytest.raises(RouterError, match="closed"):
        await client.wait_connected(1)


async def all_gone(fake: FakeBabeld) -> None:
    """Let the fake see that its clients have closed; it lives in this loop."""
    async with asyncio.timeout(10):
        while fake.monitors:
            ran = asyncio.Event()
            asyncio.get_running_loop().call_soon(ran.set)
            await ran.wait()


async def test_opening_and_closing_leaves_neither_descriptors_nor_threads(fake: FakeBabeld) -> None:
    def held() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    async with connected(fake):
        pass
    await all_gone(fake)
    before = held()
    for _ in range(100):
        async with connected(fake):
            pass
    await all_gone(fake)
    gc.collect()
    assert held() == before


async def test_a_listener_hears_of_changes_and_takes_nothing_from_the_deltas(fake: FakeBabeld) -> None:
    async with connected(fake) as client:
        heard = asyncio.Event()
        client.add_listener(heard.set)
        fake.put(["interface t0 up false"])
        await asyncio.wait_for(heard.wait(), 10)
        assert [i.name for i in (await client.wait_delta()).interfaces.changed] == ["t0"]


async def test_a_dump_is_read_while_python_holds_the_interpreter_lock(tmp_path: Path) -> None:
    """A long pure computation in this thread; the fake, a process of its own, allows 100 ms per write."""
    path = tmp_path / "babeld.sock"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "babel_ctl.testing", str(path), "--routes", "20000",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout
    assert await process.stdout.readline() == b"ready\n"
    client = BabelClient(path)
    client.start()
    assert pow(3, 1_500_000) > 0  # one C call that never lets go of the lock
    await client.wait_connected(10)
    assert len(client.routes()) == 20_000
    assert len(client.best_routes()) == 4_000
    assert client.state.connections == 1
    client.close()
    assert (await process.communicate(b""))[0] == b'{"cuts": 0}\n'
