"""What surrounds a node, in memory: implementations of its ports that note what they were told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

from re6st_core.address import Endpoint
from re6st_core.errors import PeerError, RegistryError
from re6st_core.peer_wire import Close, Message
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import RelayFrame
from re6stnet.engine.messages import AskDistances, Event, Prepare, Probe, TunnelRecord


@dataclass
class FakeTunnels:
    """``ports.Tunnels``: each call is noted; ``hold`` makes a kind of call wait, ``fail`` makes it fail."""

    calls: list[str] = field(default_factory=list)
    hold: dict[str, asyncio.Event] = field(default_factory=dict)
    fail: dict[str, Exception] = field(default_factory=dict)
    on_done: Callable[[str, str], None] = lambda _kind, _tunnel: None

    async def prepare(self, command: Prepare) -> None:
        await self._do("prepare", command.tunnel)

    async def create(self, record: TunnelRecord) -> None:
        await self._do("create", record.tunnel)

    async def join(self, nonce: str) -> None:
        await self._do("join", nonce)

    async def leave(self, nonce: str) -> None:
        await self._do("leave", nonce)

    async def retire(self, nonce: str) -> None:
        await self._do("retire", nonce)

    async def remove(self, nonce: str) -> None:
        await self._do("remove", nonce)

    async def _do(self, kind: str, tunnel: str) -> None:
        self.calls.append(kind)
        try:
            if gate := self.hold.get(kind):
                await gate.wait()
            if error := self.fail.get(kind):
                raise error
        except asyncio.CancelledError:
            self.calls.append(f"{kind} cancelled")
            raise
        self.calls.append(f"{kind} done")
        self.on_done(kind, tunnel)


@dataclass
class FakeExplorer:
    """``ports.Explorer``: each call is noted."""

    calls: list[Probe | AskDistances] = field(default_factory=list)
    sent_bytes: int = 0

    async def probe(self, command: Probe) -> None:
        self.calls.append(command)

    async def ask(self, command: AskDistances) -> None:
        self.calls.append(command)


@dataclass
class FakeMessenger:
    """``ports.Messenger``: ``fail`` is raised by every call, ``hang`` never returns."""

    sent: list[Message] = field(default_factory=list)
    asked: list[Prefix] = field(default_factory=list)
    fail: Exception | None = None
    hang: bool = False
    log: Callable[[str], None] = lambda _what: None

    async def send(self, message: Message, endpoints: tuple[Endpoint, ...]) -> None:
        await self._pass()
        self.sent.append(message)
        if isinstance(message, Close):
            self.log("close sent")

    async def ask_endpoints(self, peer: Prefix) -> tuple[Endpoint, ...]:
        self.asked.append(peer)
        await self._pass()
        return ()

    async def _pass(self) -> None:
        if self.hang:
            await asyncio.Event().wait()
        if self.fail is not None:
            raise self.fail


class Collected:
    """A ``Post``: the events in order, and a way to wait for them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._queue: asyncio.Queue[Event] = asyncio.Queue()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self._queue.put_nowait(event)

    async def next(self) -> Event:
        """The next event that nobody has waited for; there must be one within 5 s."""
        async with asyncio.timeout(5):
            return await self._queue.get()

    def waiting(self) -> list[Event]:
        """The events that nobody has waited for."""
        return [self._queue.get_nowait() for _ in range(self._queue.qsize())]


class FakeChannel:
    """The registry's end of a WebSocket, in the test's hands."""

    def __init__(self) -> None:
        self.sent: list[RelayFrame] = []
        self.closed = False
        self._incoming: asyncio.Queue[RelayFrame | Exception] = asyncio.Queue()

    async def send(self, frame: RelayFrame) -> None:
        self.sent.append(frame)

    async def receive(self) -> RelayFrame:
        item = await self._incoming.get()
        if isinstance(item, Exception):
            raise item
        return item

    def give(self, item: RelayFrame | Exception) -> None:
        """What ``receive()`` returns or raises next."""
        self._incoming.put_nowait(item)


@dataclass
class FakeRelayServer:
    """Connections to a registry's relay; ``refuse`` many attempts fail, ``hang`` ones never end."""

    refuse: int = 0
    hang: bool = False
    slow_close_s: float = 0.0
    attempts: list[float] = field(default_factory=list)
    channels: list[FakeChannel] = field(default_factory=list)
    accepted: asyncio.Event = field(default_factory=asyncio.Event)

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[FakeChannel]:
        self.attempts.append(asyncio.get_running_loop().time())
        if self.hang:
            await asyncio.Event().wait()
        if self.refuse:
            self.refuse -= 1
            raise RegistryError("http://registry.example/: connection refused")
        channel = FakeChannel()
        self.channels.append(channel)
        self.accepted.set()
        try:
            yield channel
        finally:
            await asyncio.sleep(self.slow_close_s)
            channel.closed = True


class FakeBabeldSupervisor:
    """What the node gives to babeld; ``fail`` is raised by every call."""

    def __init__(self, log: Callable[[str], None] = lambda _what: None) -> None:
        self.interfaces: set[str] = set()
        self.fail: Exception | None = None
        self._log = log

    async def add_interface(self, name: str, _parameters: object) -> None:
        self._log(f"babeld adds {name}")
        if self.fail is not None:
            raise self.fail
        self.interfaces.add(name)

    async def flush_interface(self, name: str) -> None:
        self._log(f"babeld flushes {name}")
        if self.fail is not None:
            raise self.fail
        self.interfaces.discard(name)


def peer_error() -> PeerError:
    """What a messenger raises when there is no way."""
    return PeerError("no way")


def kinds(events: Iterable[object]) -> list[str]:
    """Names of the events' classes."""
    return [type(event).__name__ for event in events]
