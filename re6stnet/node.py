"""The asyncio shell of the node: waits, feeds the engine, executes its commands, and decides nothing.

adapters --events--> queue --> engine.handle() --> commands --> adapters
                       ^------- engine.next_timer() ------'
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from re6st_core import logfields as lf
from re6st_core.address import Endpoint
from re6st_core.errors import PeerError, Re6stError
from re6st_core.logfields import describe
from re6st_core.peer_wire import Close, Drain
from re6st_core.prefix import Prefix
from re6stnet.engine.engine import Engine
from re6stnet.engine.messages import (
    Accuse,
    AskBootstrap,
    AskDistances,
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
    Probe,
    Received,
    Remove,
    Retire,
    Send,
    Started,
    Stopping,
    Timer,
    TunnelAnswers,
    TunnelRecord,
    TunnelSilent,
    Undeliverable,
)
from re6stnet.ports import Explorer, Messenger, Tunnels

log = logging.getLogger(__name__)

CLOSE_FIRST_S = 0.3
"""How long the removal of a tunnel waits for the word of it to leave, perhaps through that very tunnel."""
LAST_WORDS_S, PART_S = 1.5, 0.5
"""The same when the node stops, and how long it then still forwards: its peers route around it meanwhile."""
STOP_S = 10.0
MAX_EVENTS = 10000
MAX_ACCUSED = 32


class Events:
    """What happened and was not yet given to the engine, oldest first; bounded."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event] = asyncio.Queue(MAX_EVENTS)

    def post(self, event: Event) -> None:
        """Add an event; when the engine cannot follow, it is lost, and that is said."""
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            log.error("the engine is overloaded: %s dropped", type(event).__name__)

    async def next(self, deadline: float | None) -> Event:
        """The next event, or ``Timer`` at ``deadline`` (monotonic seconds, as the loop's clock)."""
        try:
            async with asyncio.timeout_at(deadline):
                return await self._queue.get()
        except TimeoutError:
            return Timer()


class Node:
    """Runs one engine.  ``bootstrap`` asks the registry and posts what it learns, or raises RegistryError."""

    def __init__(
        self,
        engine: Engine,
        events: Events,
        *,
        tunnels: Tunnels,
        messenger: Messenger,
        explorer: Explorer,
        keep_relay: Callable[[bool], None],
        bootstrap: Callable[[], Awaitable[None]],
    ) -> None:
        self.engine = engine
        self._tunnels = tunnels
        self._messenger = messenger
        self._explorer = explorer
        self._keep_relay = keep_relay
        self._bootstrap = bootstrap
        self._events = events
        self._tasks: set[asyncio.Task[None]] = set()
        self._lasting: set[asyncio.Task[None]] = set()
        self._work: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self._closing: dict[str, asyncio.Task[None]] = {}
        self.accused: dict[Prefix, Prefix] = {}
        """Peers that were cut off, and the prefix that each has taken."""
        self.active_since: dict[str, float] = {}
        """Monotonic seconds since when Babel hears the peer, by tunnel."""

    async def run(self, adopted: tuple[TunnelRecord, ...]) -> None:
        """Work until cancelled."""
        self._events.post(Started(adopted))
        while True:
            event = await self._events.next(self.engine.next_timer())
            self._note(event)
            for command in self._decide(event):
                self._execute(command)

    def _decide(self, event: Event) -> list[Command]:
        """What the engine wants; a peer's message that it cannot stand must not end the node."""
        try:
            return self.engine.handle(event, now=_now())
        except Exception:
            if not isinstance(event, Received):
                raise
            log.exception("a message of %s is beyond the engine", event.message.sender)
            return []

    async def stop(self) -> None:
        """Tell the peers, remove all tunnels, wait until that is done; nothing else is waited for."""
        self._stopping = True
        for command in self.engine.handle(Stopping(), now=_now()):
            self._execute(command)
        for task in self._tasks - self._lasting - set(self._work.values()):
            task.cancel()
        if self._lasting:
            await asyncio.wait(self._lasting, timeout=STOP_S)
        self._keep_relay(False)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_S)

    def _note(self, event: Event) -> None:
        if isinstance(event, NeighbourChanged):
            known = event.tunnel in self.active_since
            tunnel = self.engine.tunnels.get(event.tunnel)
            if event.alive and not known and tunnel is not None:
                self.active_since[event.tunnel] = _now()
                fields: dict[str, object] = {lf.PEER: tunnel.peer, lf.TRANSPORT: tunnel.transport}
                log.info(describe("tunnel up", {**fields, lf.TUNNEL: tunnel.nonce[:8]}))
            elif not event.alive and known:
                del self.active_since[event.tunnel]
                log.warning(describe("neighbour lost", {lf.TUNNEL: event.tunnel[:8]}))
        elif isinstance(event, TunnelSilent):
            whose = "others answer" if event.witnessed else "nobody answers: our own fault, perhaps"
            log.warning(describe("tunnel silent", {lf.TUNNEL: event.tunnel[:8], lf.REASON: whose}))
        elif isinstance(event, TunnelAnswers):
            log.info(describe("tunnel answers", {lf.TUNNEL: event.tunnel[:8]}))

    # --- commands ---------------------------------------------------------------------------------------

    def _execute(self, command: Command) -> None:  # noqa: PLR0912 - a table of kinds
        match command:
            case Prepare():
                self._chain(command.tunnel, partial(self._tunnels.prepare, command))
            case Create():
                self._chain(command.record.tunnel, partial(self._tunnels.create, command.record))
            case Join():
                self._chain(command.tunnel, partial(self._tunnels.join, command.tunnel))
            case Leave():
                self._chain(command.tunnel, partial(self._tunnels.leave, command.tunnel))
            case Retire():
                self._chain(command.tunnel, partial(self._tunnels.retire, command.tunnel))
            case Remove():
                fields: dict[str, object] = {lf.PEER: command.peer, lf.REASON: command.reason}
                log.info(describe("tunnel ends", {lf.TUNNEL: command.tunnel[:8], **fields}))
                self.active_since.pop(command.tunnel, None)
                self._last(self._remove(command.tunnel, self._work.pop(command.tunnel, None)))
            case Send(message=Close() as close):
                task = self._closing[close.nonce] = self._last(self._send(command))
                task.add_done_callback(lambda _t: self._closing.pop(close.nonce, None))
            case Send():
                self._task(self._send(command))
            case KeepRelay():
                self._keep_relay(command.wanted)
            case AskBootstrap():
                self._task(self._ask_bootstrap())
            case AskEndpoints():
                self._task(self._ask_endpoints(command))
            case Accuse():
                self._accuse(command)
            case Probe():
                self._task(self._explorer.probe(command))
            case AskDistances():
                self._task(self._explorer.ask(command))

    def _accuse(self, command: Accuse) -> None:
        fields: dict[str, object] = {lf.PEER: command.peer, lf.PREFIX: command.destination}
        log.error(describe("a peer originates a prefix that is not its own, and is cut off", fields))
        self.accused.pop(command.peer, None)
        while len(self.accused) >= MAX_ACCUSED:
            del self.accused[next(iter(self.accused))]
        self.accused[command.peer] = command.destination

    def _task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _last(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Work that ``stop()`` waits for."""
        task = self._task(work)
        self._lasting.add(task)
        task.add_done_callback(self._lasting.discard)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("unexpected failure", exc_info=error)

    def _chain(self, nonce: str, work: Callable[[], Awaitable[None]]) -> None:
        """What is done to one tunnel is done in order; the outcome is an event, whatever it is."""
        before = self._work.get(nonce)

        async def guarded() -> None:
            if before is not None:
                try:
                    await asyncio.wait([before])
                except asyncio.CancelledError:
                    before.cancel()
                    await asyncio.wait([before])
                    raise
            try:
                await work()
            except Re6stError as exc:
                self._events.post(Broken(nonce, str(exc)))
            except Exception as exc:
                log.exception("unexpected failure of tunnel %s", nonce[:8])
                self._events.post(Broken(nonce, f"{type(exc).__name__}: {exc}"))

        self._work[nonce] = self._task(guarded())

    async def _remove(self, nonce: str, work: asyncio.Task[None] | None) -> None:
        if closing := self._closing.get(nonce):
            await asyncio.wait([closing], timeout=LAST_WORDS_S if self._stopping else CLOSE_FIRST_S)
            if self._stopping:
                await asyncio.sleep(PART_S)
        if work is not None and not work.done():
            work.cancel()
            await asyncio.wait([work])
        try:
            await self._tunnels.remove(nonce)
        except Re6stError as exc:
            log.error(describe("cannot remove a tunnel", {lf.TUNNEL: nonce[:8], lf.REASON: exc}))

    async def _send(self, command: Send) -> None:
        message = command.message
        try:
            await self._messenger.send(message, command.endpoints)
        except PeerError as exc:
            if not isinstance(message, Close | Drain):  # the end of a tunnel does not depend on them
                self._events.post(Undeliverable(message.nonce, str(exc)))
        except Exception as exc:
            if not isinstance(message, Close | Drain):
                self._events.post(Undeliverable(message.nonce, type(exc).__name__))
            raise

    async def _ask_bootstrap(self) -> None:
        try:
            await self._bootstrap()
        except Re6stError as exc:
            log.warning(describe("no peers from the registry", {lf.REASON: exc}))
            self._events.post(BootstrapFailed(str(exc)))
        except Exception as exc:
            self._events.post(BootstrapFailed(type(exc).__name__))
            raise

    async def _ask_endpoints(self, command: AskEndpoints) -> None:
        try:
            endpoints: tuple[Endpoint, ...] = await self._messenger.ask_endpoints(command.peer)
        except PeerError as exc:
            log.debug("%s does not tell its endpoints: %s", command.peer, exc)
            self._events.post(EndpointsUnknown(command.peer))
            return
        except Exception:
            self._events.post(EndpointsUnknown(command.peer))
            raise
        self._events.post(PeersLearned((PeerSeen(command.peer, endpoints),)))


def _now() -> float:
    """Monotonic seconds, by the loop that also runs the timers."""
    return asyncio.get_running_loop().time()
