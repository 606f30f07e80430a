"""What the node needs from outside, as small protocols; adapters implement them, tests have fakes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from re6st_core.address import Endpoint
from re6st_core.peer_wire import Message
from re6st_core.prefix import Prefix
from re6stnet.engine.messages import AskDistances, Event, Prepare, Probe, TunnelRecord

Post = Callable[[Event], None]
"""Give an event to the engine; returns at once."""


@dataclass(frozen=True, slots=True)
class SavedTunnel:
    """A tunnel as it is kept for the next daemon: saved before the kernel is touched, then completed."""

    record: TunnelRecord
    device: str
    local_port: int | None = None
    process: Mapping[str, Any] | None = None
    """Identity of the process that carries it; None: the kernel, or a shared server."""


class Store(Protocol):
    """The node's memory across restarts."""

    def save_tunnel(self, tunnel: SavedTunnel) -> None: ...

    def forget_tunnel(self, nonce: str) -> None: ...

    def tunnels(self) -> list[SavedTunnel]: ...

    def save_peers(self, peers: Iterable[tuple[Prefix, tuple[Endpoint, ...]]]) -> None: ...

    def peers(self) -> list[tuple[Prefix, tuple[Endpoint, ...]]]: ...


class Messenger(Protocol):
    """Carries signed messages to peers, by whatever way there is."""

    async def send(self, message: Message, endpoints: tuple[Endpoint, ...]) -> None:
        """Raises PeerError if there is no way."""

    async def ask_endpoints(self, peer: Prefix) -> tuple[Endpoint, ...]:
        """Over the overlay.  Raises PeerError."""


class Tunnels(Protocol):
    """Makes and removes what a tunnel is made of; results come back as events."""

    async def prepare(self, command: Prepare) -> None: ...

    async def create(self, record: TunnelRecord) -> None: ...

    async def join(self, nonce: str) -> None: ...

    async def leave(self, nonce: str) -> None: ...

    async def retire(self, nonce: str) -> None: ...

    async def remove(self, nonce: str) -> None: ...


class Explorer(Protocol):
    """Measures how far peers are, and asks them; results come back as events."""

    async def probe(self, command: Probe) -> None: ...

    async def ask(self, command: AskDistances) -> None: ...
