"""What a scenario plays on: a lab that is built, a mesh of real programs, and a story that is told.

::

    async def play(stage: Stage) -> None:
        await stage.form()
        flow = stage.flow("a", "b")
        relay = await stage.relay("a", "b")
        with stage.step(f"{relay}, which carries the flow, dies"):
            stage.silence(relay)
            await stage.wait_for(reachable("a", "b"), within_s=60)
        stage.figure("blackout", flow.packets.blackout_s(), "s", at_most=1)
"""

import asyncio
import contextlib
from collections.abc import Collection, Coroutine, Iterable
from types import TracebackType
from typing import Any, Self

from rich.console import RenderableType
from rich.table import Table

from netns_lab.lab import Lab
from netns_lab.mesh import Mesh, together
from netns_lab.stage import traffic
from netns_lab.stage.conditions import Condition, in_few_words
from netns_lab.stage.faults import Faults
from netns_lab.stage.flow import Flow
from netns_lab.stage.packets import LAST_REPLIES_S
from netns_lab.stage.path import path_to
from netns_lab.stage.story import Figure, Step, Story
from re6st_core.errors import ConfigError, RouterError

_LOOK_EVERY_S = 0.1
_TRACK_EVERY_S = 0.5
_OVER_ONE_RELAY = 3  # nodes on the way, ends included
# Every node tells where the hop limit of a packet ran out, as often as it is asked.
_TELL_ALL = {"net.ipv6.icmp.ratelimit": 0}


class Stage(Faults):
    """Use as a context manager around one scenario."""

    def __init__(self, lab: Lab, story: Story, *, client_count: int = 3) -> None:
        """Raises ConfigError when no node of the topology hosts the registry."""
        registry = lab.topology.registry
        if registry is None:
            raise ConfigError(f'topology {lab.topology.name}: no node hosts the registry: registry = "NAME"')
        mesh = Mesh(lab, registry=registry, client_count=client_count)
        super().__init__(lab, mesh, story, registry=registry)
        self.flows: list[Flow] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self.mesh.__enter__()
        self.story.watch(self._table)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.story.close()
        for task in self._tasks:
            task.cancel()
        for flow in self.flows:
            flow.end()
        for flow in self.flows:
            flow.stop()
        if pauses := sum(flow.pauses for flow in self.flows):
            self.event(f"the lab itself was too busy to send, {pauses} times")
        self.mesh.__exit__(kind, value, trace)

    @property
    def nodes(self) -> tuple[str, ...]:
        """All nodes, in the order of the topology file."""
        return self.mesh.nodes

    def now(self) -> float:
        """Seconds since the story began; the clock of events, flows and figures."""
        return self.story.elapsed()

    # --- telling ----------------------------------------------------------------------------------------

    def step(self, text: str) -> Step:
        """A step of the story, to be used as a context manager around what it does."""
        return self.story.step(text)

    def event(self, text: str) -> None:
        """Something worth a line happened."""
        self.story.event(text)

    def figure(
        self,
        name: str,
        value: float | None,
        unit: str = "",
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        """Something was measured; None: it could not be.  Missing a bound fails the scenario."""
        self.story.figure(name, Figure(value, unit, at_most=at_most, at_least=at_least))

    def expect(self, condition: bool, failure: str) -> bool:
        """What must hold for a pass; returns the condition."""
        return self.story.expect(condition, failure)

    # --- the mesh ---------------------------------------------------------------------------------------

    async def form(self, *, without: Collection[str] = (), start: bool = True) -> None:
        """Create the network, let the nodes join it and start their daemons, if that is wanted."""
        with self.step("the network is created and its registry started"):
            await self.mesh.start_registry()
        nodes = [node for node in self.nodes if node not in without]
        with self.step(f"{len(nodes)} nodes join with a token each"):
            await self.together(self.join(node) for node in nodes)
        if start:
            for node in nodes:
                self.mesh.start(node)
            self.event("all daemons started")

    async def join(self, node: str) -> None:
        """Let a node enrol; its daemon is not started."""
        self.mesh.machine(node).sysctl(_TELL_ALL)
        await self.mesh.join(node)

    async def together(self, work: Iterable[Coroutine[Any, Any, object]]) -> None:
        """Do several things at the same time, all of them."""
        await together(work)

    # --- waiting ----------------------------------------------------------------------------------------

    async def wait_for(self, condition: Condition, *, within_s: float) -> float:
        """Wait until it holds; returns the seconds it took.  RouterError says what was missing."""
        took_s, missing = await self._look_until(condition, within_s)
        if took_s is None:
            raise RouterError(f"{condition}: not within {within_s:g} s: {in_few_words(missing)}")
        return took_s

    async def time_until(self, condition: Condition, *, within_s: float) -> float | None:
        """As :meth:`wait_for`, but None if it never did: what was missing is an event, no failure."""
        took_s, missing = await self._look_until(condition, within_s)
        if took_s is None:
            self.event(f"{condition}: not within {within_s:g} s: {in_few_words(missing)}")
        return took_s

    async def missing(self, condition: Condition) -> list[str]:
        """Look once: what keeps a condition from holding."""
        return await condition.missing(self)

    async def _look_until(self, condition: Condition, within_s: float) -> tuple[float | None, list[str]]:
        began = self.now()
        missing = [f"it could not even be looked at within {within_s:g} s"]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while True:
                    missing = await condition.missing(self)
                    if not missing:
                        return self.now() - began, []
                    await asyncio.sleep(_LOOK_EVERY_S)
        return None, missing

    # --- flows ------------------------------------------------------------------------------------------

    def flow(self, a: str, b: str) -> Flow:
        """Start 100 packets a second from a to b and back; they go on until the flow or the scenario ends."""
        flow = Flow(a, b, self.mesh.machine(a), self.mesh.addresses[b], clock=self.now).start()
        self.flows.append(flow)
        self._start(self._track(flow))
        return flow

    async def first_answer(self, flow: Flow, since_s: float, *, within_s: float) -> float | None:
        """Seconds from then to the first answer to a packet sent later; None: there was none in that time."""
        end_s = self.now() + within_s
        while (answered_s := flow.packets.first_answer_s(since_s)) is None:
            if self.now() >= end_s:
                return None
            await asyncio.sleep(_LOOK_EVERY_S)
        return answered_s - since_s

    async def settled(self) -> None:
        """Wait until every packet sent so far can be judged."""
        await asyncio.sleep(LAST_REPLIES_S + 0.1)

    async def passes(self, a: str, b: str, size: int, *, count: int = 5) -> int:
        """How many of so many echo requests of that size (IPv6 header included) from a does b answer."""
        return await traffic.answered(self.mesh.machine(a), self.mesh.addresses[b], size, count=count)

    async def download(self, a: str, b: str, size: int, *, within_s: float) -> float | None:
        """Seconds until a has fetched so many bytes from b by TCP over the overlay; None: not within that."""
        machines, address = self.mesh.machines, self.mesh.addresses[b]
        return await traffic.download(machines[b], machines[a], address, size, within_s=within_s)

    async def relay(self, a: str, b: str, *, within_s: float = 60.0) -> str:
        """The one node that carries what a sends to b, as soon as it is one; RouterError when it never is."""
        way: tuple[str, ...] = ()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while True:
                    if len(way := await self.way(a, b)) == _OVER_ONE_RELAY:
                        return way[1]
                    await asyncio.sleep(_LOOK_EVERY_S)
        now = f"the way is {' '.join(way)}" if way else "there is no whole way"
        raise RouterError(f"{a} does not reach {b} by one relay within {within_s:g} s: {now}")

    async def way(self, a: str, b: str) -> tuple[str, ...]:
        """One look at the nodes from a to b, both included; empty when not every one answered."""
        addresses = await path_to(self.mesh.machine(a), self.mesh.addresses[b])
        return (a, *map(self.node_at, addresses)) if addresses else ()

    async def _track(self, flow: Flow) -> None:
        while flow.running:
            if path := await self.way(flow.a, flow.b):
                flow.track.note(self.now(), path)
            await asyncio.sleep(_TRACK_EVERY_S)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _table(self) -> RenderableType | None:
        """The flows as they are now, for whoever watches."""
        if not self.flows:
            return None
        table = Table("flow", "way", "RTT", "sent", "lost", "longest gap")
        for flow in self.flows:
            packets = flow.packets
            rtt_ms = packets.last_ms
            table.add_row(
                str(flow),
                " ".join(flow.track.now),
                "" if rtt_ms is None else f"{rtt_ms:.0f} ms",
                str(len(packets)),
                str(packets.lost()),
                f"{packets.blackout_s():.2f} s",
            )
        return table
