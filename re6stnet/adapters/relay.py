"""The WebSocket to the registry, kept while the node has fewer than two tunnels."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import NoReturn, Protocol

from re6st_core.errors import RegistryError
from re6st_core.registry_wire import RelayFrame

log = logging.getLogger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0


class Channel(Protocol):
    """An open WebSocket (``registry.relay_channel.RelayChannel``)."""

    async def send(self, frame: RelayFrame) -> None:
        """Raises RegistryError."""

    async def receive(self) -> RelayFrame:
        """Wait for the next frame.  Raises RegistryError when the connection ends."""


class Relay:
    """Connects, reconnects with back-off, hands frames to ``on_frame``."""

    def __init__(
        self, connect: Callable[[], AbstractAsyncContextManager[Channel]], rng: random.Random
    ) -> None:
        self._connect = connect
        self._rng = rng
        self._channel: Channel | None = None
        self._open = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self.on_frame: Callable[[RelayFrame], None] = lambda _frame: None

    @property
    def connected(self) -> bool:
        """Whether frames can be sent now."""
        return self._channel is not None

    async def wait_connected(self, within_s: float) -> bool:
        """Whether frames can be sent: now, or, if a connection is wanted, once there is one."""
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._open.wait()
        return self.connected

    async def send(self, frame: RelayFrame) -> None:
        """Send one frame.  Raises RegistryError."""
        if self._channel is None:
            raise RegistryError("the relay is not connected")
        await self._channel.send(frame)

    def keep(self, wanted: bool) -> None:
        """Start or stop keeping the connection."""
        if wanted and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        elif not wanted and self._task is not None:
            self._leave()  # at once: closing takes a while, and a new connection may be wanted by then
            self._task.cancel()
            self._ending.add(self._task)
            self._task.add_done_callback(self._ending.discard)
            self._task = None

    def reconnect(self) -> None:
        """The connection, if there is one, begins at an address that this host no longer has."""
        if self._task is not None:
            self.keep(False)
            self.keep(True)

    async def close(self) -> None:
        """Stop, and wait until the connection is closed."""
        self.keep(False)
        if self._ending:
            await asyncio.wait(self._ending)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        delay_s = FIRST_RETRY_S
        while True:
            began = loop.time()
            try:
                await self._serve()
            except RegistryError as exc:
                reason: object = exc
            except Exception as exc:  # whatever it is, a node without a relay may be a node without peers
                log.exception("relay: unexpected failure")
                reason = type(exc).__name__
            if loop.time() - began > LAST_RETRY_S:
                delay_s = FIRST_RETRY_S
            log.info("relay: %s; next try in about %.0f s", reason, delay_s)
            await asyncio.sleep(delay_s * self._rng.uniform(0.75, 1.25))
            delay_s = min(2 * delay_s, LAST_RETRY_S)

    async def _serve(self) -> NoReturn:
        """Hand over what comes.  Raises RegistryError when the connection ends."""
        async with self._connect() as channel:
            self._channel = channel
            self._open.set()
            try:
                while True:
                    self.on_frame(await channel.receive())
            finally:
                if self._channel is channel:
                    self._leave()

    def _leave(self) -> None:
        self._channel = None
        self._open.clear()
