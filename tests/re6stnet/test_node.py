"""The shell of the node: commands reach their ports, nothing that fails stops it, and it ends in time."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from re6st_core.errors import PeerError, RegistryError, RouterError
from re6st_core.netparams import NetworkParameters
from re6st_core.peer_wire import WIREGUARD, Close, Offer
from re6st_core.prefix import Prefix
from re6stnet.engine.engine import Engine
from re6stnet.engine.messages import (
    AskBootstrap,
    AskEndpoints,
    BootstrapFailed,
    Broken,
    Command,
    Create,
    EndpointsUnknown,
    Event,
    Join,
    KeepRelay,
    Leave,
    NeighbourChanged,
    PeerSeen,
    PeersLearned,
    Prepare,
    Remove,
    Send,
    Started,
    Stopping,
    Timer,
    TunnelRecord,
    Undeliverable,
)
from re6stnet.engine.tunnel import Tunnel
from re6stnet.node import CLOSE_FIRST_S, MAX_EVENTS, PART_S, STOP_S, Events, Node
from tests.helpers.node_fakes import FakeExplorer, FakeMessenger, FakeTunnels, kinds, peer_error
from tests.helpers.node_time import elapsed_since, in_virtual_time, settle

OWN, PEER = Prefix(16, 1), Prefix(16, 2)
N = "0123456789abcdef" * 2
RECORD = TunnelRecord(N, PEER, True, WIREGUARD, 1420)
PREPARE, CREATE, REMOVE = Prepare(N, PEER, WIREGUARD, None), Create(RECORD), Remove(N, PEER, "why")
OFFER = Offer(sender=OWN, recipient=PEER, nonce=N, expires=0, transport=WIREGUARD)
CLOSE = Close(sender=OWN, recipient=PEER, nonce=N, expires=0)


class ScriptedEngine:
    """Gives the commands that the test wrote for an event's class, once, and notes all events."""

    def __init__(self, script: dict[type, list[Command]]) -> None:
        self.script = script
        self.events: list[Event] = []
        self.timers: list[float] = []
        self.tunnels: dict[str, Any] = {}

    def handle(self, event: Event, *, now: float) -> list[Command]:
        self.events.append(event)
        if isinstance(event, Timer) and self.timers and self.timers[0] <= now:
            self.timers.pop(0)
        return self.script.pop(type(event), [])

    def next_timer(self) -> float | None:
        return self.timers[0] if self.timers else None


class Shell:
    """A running node on fakes."""

    def __init__(self, *at_start: Command, at_stop: tuple[Command, ...] = ()) -> None:
        self.engine = ScriptedEngine({Started: list(at_start), Stopping: list(at_stop)})
        self.events = Events()
        self.tunnels = FakeTunnels()
        self.messenger = FakeMessenger()
        self.explorer = FakeExplorer()
        self.relay: list[bool] = []
        self.bootstraps = 0
        self.bootstrap_error: Exception | None = None
        self.node = Node(
            cast(Engine, self.engine),
            self.events,
            tunnels=self.tunnels,
            messenger=self.messenger,
            explorer=self.explorer,
            keep_relay=self.relay.append,
            bootstrap=self.bootstrap,
        )

    async def bootstrap(self) -> None:
        self.bootstraps += 1
        if self.bootstrap_error:
            raise self.bootstrap_error

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Shell"]:
        task = asyncio.create_task(self.node.run((RECORD,)))
        await settle()
        yield self
        assert not task.done(), "the node lives"
        task.cancel()
        await asyncio.wait([task])

    async def goes_on_with(self, *commands: Command) -> None:
        self.engine.script[EndpointsUnknown] = list(commands)
        self.events.post(EndpointsUnknown(PEER))
        await settle()


def test_every_command_reaches_its_port() -> None:
    async def story() -> None:
        commands = PREPARE, Send(OFFER), KeepRelay(True), AskBootstrap(), AskEndpoints(PEER)
        async with Shell(*commands).running() as shell:
            assert shell.engine.events == [Started((RECORD,)), PeersLearned((PeerSeen(PEER),))]
            assert shell.messenger.sent == [OFFER]
            assert shell.messenger.asked == [PEER]
            assert shell.relay == [True]
            assert shell.bootstraps == 1
            await shell.goes_on_with(CREATE)
            await shell.goes_on_with(REMOVE)
            assert shell.tunnels.calls == [
                "prepare", "prepare done", "create", "create done", "remove", "remove done",
            ]  # fmt: skip

    in_virtual_time(story())


def test_a_tunnel_is_created_after_it_is_prepared() -> None:
    async def story() -> None:
        shell = Shell(PREPARE, CREATE)
        shell.tunnels.hold["prepare"] = gate = asyncio.Event()
        async with shell.running():
            assert shell.tunnels.calls == ["prepare"]
            gate.set()
            await settle()
            assert shell.tunnels.calls == ["prepare", "prepare done", "create", "create done"]

    in_virtual_time(story())


def test_what_is_done_to_a_tunnel_is_done_in_order() -> None:
    async def story() -> None:
        shell = Shell(CREATE, Join(N), Leave(N))
        shell.tunnels.hold["join"] = gate = asyncio.Event()
        async with shell.running():
            assert shell.tunnels.calls == ["create", "create done", "join"]
            gate.set()
            await settle()
            assert shell.tunnels.calls[2:] == ["join", "join done", "leave", "leave done"]

    in_virtual_time(story())


@pytest.mark.parametrize("kind", ["prepare", "create"])
def test_removal_ends_what_is_under_way_and_still_cleans(kind: str) -> None:
    async def story() -> None:
        shell = Shell(PREPARE if kind == "prepare" else CREATE)
        shell.tunnels.hold[kind] = asyncio.Event()
        async with shell.running():
            await shell.goes_on_with(REMOVE)
            assert shell.tunnels.calls == [kind, f"{kind} cancelled", "remove", "remove done"]

    in_virtual_time(story())


def test_removal_ends_a_preparation_that_creation_waits_for() -> None:
    async def story() -> None:
        shell = Shell(PREPARE, CREATE)
        shell.tunnels.hold["prepare"] = asyncio.Event()
        async with shell.running():
            await shell.goes_on_with(REMOVE)
            assert shell.tunnels.calls == ["prepare", "prepare cancelled", "remove", "remove done"]

    in_virtual_time(story())


def test_a_tunnel_that_is_given_up_at_once_leaves_nothing() -> None:
    async def story() -> None:
        shell = Shell(PREPARE, CREATE, REMOVE)
        shell.tunnels.hold["prepare"] = asyncio.Event()
        async with shell.running():
            assert shell.tunnels.calls == ["prepare", "prepare cancelled", "remove", "remove done"]

    in_virtual_time(story())


@pytest.mark.parametrize("error", [RouterError("no such device"), ZeroDivisionError("by zero")])
@pytest.mark.parametrize("kind", ["prepare", "create"])
def test_work_that_fails_is_an_event(kind: str, error: Exception) -> None:
    async def story() -> None:
        shell = Shell(PREPARE if kind == "prepare" else CREATE)
        shell.tunnels.fail[kind] = error
        async with shell.running():
            broken = shell.engine.events[-1]
            assert isinstance(broken, Broken)
            assert broken.tunnel == N
            assert str(error) in broken.reason
            await shell.goes_on_with(REMOVE)
            assert shell.tunnels.calls[-1] == "remove done"

    in_virtual_time(story())


@pytest.mark.parametrize("error", [RouterError("babeld refuses"), ZeroDivisionError()])
def test_a_removal_that_fails_is_logged(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        shell = Shell(REMOVE)
        shell.tunnels.fail["remove"] = error
        async with shell.running():
            await shell.goes_on_with(Send(OFFER))
            assert shell.messenger.sent == [OFFER]

    in_virtual_time(story())
    assert any(record.levelname == "ERROR" for record in caplog.records)


@pytest.mark.parametrize("error", [peer_error(), ZeroDivisionError()])
def test_the_engine_learns_what_could_not_be_sent_or_asked(error: Exception) -> None:
    async def story() -> None:
        shell = Shell(Send(OFFER), Send(CLOSE), AskEndpoints(PEER))
        shell.messenger.fail = error
        async with shell.running():
            # That a Close does not arrive is of no interest: the tunnel is gone.
            assert sorted(kinds(shell.engine.events)) == ["EndpointsUnknown", "Started", "Undeliverable"]
            assert next(e for e in shell.engine.events if isinstance(e, Undeliverable)).tunnel == N

    in_virtual_time(story())


@pytest.mark.parametrize("error", [RegistryError("away"), RouterError("netlink"), ZeroDivisionError()])
def test_a_bootstrap_that_fails_in_whatever_way_is_an_event(error: Exception) -> None:
    async def story() -> None:
        shell = Shell(AskBootstrap())
        shell.bootstrap_error = error
        async with shell.running():
            assert isinstance(shell.engine.events[-1], BootstrapFailed)

    in_virtual_time(story())


def test_the_word_of_a_removal_leaves_before_the_tunnel_goes() -> None:
    async def story() -> None:
        shell = Shell(Send(CLOSE), REMOVE)
        shell.messenger.log = shell.tunnels.calls.append
        async with shell.running():
            assert shell.tunnels.calls == ["close sent", "remove", "remove done"]

    in_virtual_time(story())


def test_but_the_tunnel_does_not_wait_long_for_it() -> None:
    async def story() -> None:
        shell = Shell(Send(CLOSE), REMOVE)
        shell.messenger.hang = True
        async with shell.running():
            assert shell.tunnels.calls == []
            await asyncio.sleep(CLOSE_FIRST_S)
            await settle()
            assert shell.tunnels.calls == ["remove", "remove done"]

    in_virtual_time(story())


def test_stopping_tells_the_peers_and_removes_the_tunnels_while_the_relay_is_still_open() -> None:
    async def story() -> None:
        shell = Shell(at_stop=(Send(CLOSE), REMOVE))
        order: list[str] = shell.tunnels.calls
        shell.messenger.log = order.append
        shell.node._keep_relay = lambda wanted: order.append(f"relay {wanted}")
        async with shell.running():
            start = asyncio.get_running_loop().time()
            await shell.node.stop()
            assert order == ["close sent", "remove", "remove done", "relay False"]
            assert elapsed_since(start) >= PART_S, "peers have had time to route around it"

    in_virtual_time(story())


def test_stopping_does_not_wait_for_peers_that_hang_nor_for_questions() -> None:
    async def story() -> None:
        shell = Shell(Send(OFFER), AskEndpoints(PEER), at_stop=(REMOVE,))
        shell.messenger.hang = True
        async with shell.running():
            start = asyncio.get_running_loop().time()
            await shell.node.stop()
            assert elapsed_since(start) <= CLOSE_FIRST_S
            assert shell.tunnels.calls == ["remove", "remove done"]

    in_virtual_time(story())


def test_stopping_ends_even_if_a_removal_hangs() -> None:
    async def story() -> None:
        shell = Shell(Send(CLOSE), at_stop=(REMOVE,))
        shell.messenger.hang = True
        shell.tunnels.hold["remove"] = asyncio.Event()
        async with shell.running():
            start = asyncio.get_running_loop().time()
            await shell.node.stop()
            assert elapsed_since(start) <= STOP_S + 1
            assert shell.tunnels.calls == ["remove", "remove cancelled"]

    in_virtual_time(story())


def test_stopping_in_the_middle_of_a_creation_leaves_nothing() -> None:
    async def story() -> None:
        shell = Shell(CREATE, at_stop=(REMOVE,))
        shell.tunnels.hold["create"] = asyncio.Event()
        async with shell.running():
            await shell.node.stop()
            assert shell.tunnels.calls == ["create", "create cancelled", "remove", "remove done"]

    in_virtual_time(story())


def test_a_full_queue_is_said_and_raises_nothing(caplog: pytest.LogCaptureFixture) -> None:
    events = Events()
    for _ in range(MAX_EVENTS + 1):
        events.post(Timer())
    assert "overloaded: Timer dropped" in caplog.text


def test_timers_fire_when_they_are_due_and_not_before() -> None:
    async def story() -> None:
        shell = Shell()
        start = asyncio.get_running_loop().time()
        shell.engine.timers = [start + 5, start + 7]
        async with shell.running():
            await asyncio.sleep(4.9)
            assert shell.engine.timers == [start + 5, start + 7]
            await asyncio.sleep(0.2)
            assert shell.engine.timers == [start + 7]
            await asyncio.sleep(2)
            assert shell.engine.timers == []

    in_virtual_time(story())


def test_events_come_before_a_timer_that_is_late() -> None:
    async def story() -> None:
        events = Events()
        events.post(Started())
        now = asyncio.get_running_loop().time()
        assert await events.next(now - 1) == Started()
        assert await events.next(now - 1) == Timer()

    in_virtual_time(story())


def test_it_knows_since_when_a_peer_is_heard() -> None:
    async def story() -> None:
        shell = Shell()
        shell.engine.tunnels[N] = Tunnel.adopted(RECORD, now=0.0)
        async with shell.running():
            shell.events.post(NeighbourChanged(N, True))
            await asyncio.sleep(3)
            shell.events.post(NeighbourChanged(N, True, 1000))
            shell.events.post(NeighbourChanged("of no tunnel", True))
            await settle()
            now = asyncio.get_running_loop().time()
            assert shell.node.active_since == {N: now - 3}
            shell.events.post(NeighbourChanged(N, False))
            await settle()
            assert shell.node.active_since == {}

    in_virtual_time(story())


def test_a_real_engine_asks_for_peers_and_lives_without_any() -> None:
    async def story() -> None:
        shell = Shell()
        shell.node.engine = Engine(
            OWN, NetworkParameters(version=1), rng=random.Random(1), new_nonce=lambda: N
        )
        shell.bootstrap_error = RegistryError("away")
        async with shell.running():
            await asyncio.sleep(600)
            assert 20 <= shell.bootstraps <= 45, "every 20 s in the end"
            assert shell.relay == [True]
            await shell.node.stop()
            assert shell.relay == [True, False]

    in_virtual_time(story())


def test_a_close_that_fails_does_not_keep_the_tunnel() -> None:
    async def story() -> None:
        shell = Shell(Send(CLOSE), REMOVE)
        shell.messenger.fail = PeerError("gone")
        async with shell.running():
            assert shell.tunnels.calls == ["remove", "remove done"]

    in_virtual_time(story())
