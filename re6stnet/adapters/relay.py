"""The WebSocket to the registry, kept while the node has fewer than two tunnels."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from re6st_core.errors import RegistryError
from re6st_core.registry_wire import RelayFrame

log = logging.getLogger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0


class Channel(Protocol):
    """An open WebSocket (``registry.client.RelayChannel``)."""

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
        self._task: asyncio.Task[None] | None = None
        self.on_frame: Callable[[RelayFrame], None] = lambda _frame: None

    @property
    def connected(self) -> bool:
        """Whether frames can be sent now."""
        return self._channel is not None

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
            self._task.cancel()
            self._task = None

    async def close(self) -> None:
        """Stop, and wait until the connection is closed."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _run(self) -> None:
        delay_s = FIRST_RETRY_S
        while True:
            try:
                async with self._connect() as channel:
                    self._channel = channel
                    delay_s = FIRST_RETRY_S
                    while True:
                        self.on_frame(await channel.receive())
            except RegistryError as exc:
                log.info("relay: %s; next try in about %.0f s", exc, delay_s)
            finally:
                self._channel = None
            await asyncio.sleep(delay_s * self._rng.uniform(0.75, 1.25))
            delay_s = min(2 * delay_s, LAST_RETRY_S)
