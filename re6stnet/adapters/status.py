"""The local question-and-answer socket: ``re6st`` asks, the daemon tells.  One JSON line each way.

{"ask": "status"}                  ->  {...} as in Status
{"ask": "why", "about": "2/16"}     ->  {...} as in Why
{"ask": "rotate", "about": "2/16"}  ->  {...} as in Done
{"ask": "restart"}                 ->  {...} as in Done
anything else                      ->  {"error": text}
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from re6st_core.errors import ConfigError, PeerError, WireError
from re6st_core.json_wire import decode_json_untrusted, encode_json

_T = TypeVar("_T")
MAX_LINE = 4 << 20
TIMEOUT_S = 5.0
WHY_S = 40.0
"""How long an answer may take that others have to be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityStatus:
    """Who the node is."""

    cn: str
    address: str
    subnet: str
    network: str
    expires: str
    """End of the certificate's life, ISO 8601."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonStatus:
    """How the daemon is."""

    pid: int
    uptime_s: float
    rss_bytes: int
    version: str
    registry: str
    registry_error: str
    """Why the registry did not answer the last time, empty if it did."""
    relay: bool
    """A WebSocket to the registry is open."""
    endpoints: tuple[str, ...]
    parameters: int
    """Version of the network parameters."""
    babeld: bool
    """babeld answers."""
    babeld_pid: int | None
    selection_bytes: int
    """Sent so far to find out which peers are worth a tunnel, and to tell others, IP headers included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipStatus:
    """How the node stands with its network."""

    revoked: bool
    """Our certificate is: the others have cut us off."""
    clock_wrong_by_s: float
    """How far the host's clock is ahead (negative: behind); 0: right, or not known."""
    clock_source: str
    """Who has told the time: registry, peers, or nobody (empty)."""
    babel_key: int
    """Number of the key that authenticates Babel's packets now; 0: none does."""
    warnings: tuple[str, ...]
    """What the operator must see to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TunnelStatus:
    """One tunnel."""

    tunnel: str
    peer: str
    transport: str
    device: str
    state: str
    role: str
    """client: we opened it; server: the peer did."""
    rtt_ms: float | None
    """Babel's."""
    probe_rtt_ms: float | None
    """Of our probes, smoothed; None: no probe was ever answered."""
    loss: float | None
    """Share of probes without answer, smoothed over some tens of them."""
    endpoint: str
    since_s: float | None
    """Seconds since Babel hears the peer."""
    pid: int | None
    destinations: int
    """How many nodes are reached through it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteStatus:
    """One route of Babel."""

    destination: str
    peer: str
    """The neighbour it goes through."""
    via: str
    device: str
    metric: int
    installed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything ``re6st status`` shows."""

    identity: IdentityStatus
    membership: MembershipStatus
    daemon: DaemonStatus
    tunnels: tuple[TunnelStatus, ...]
    routes: tuple[RouteStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """What ``re6st why`` shows: the way to a destination, and who answers there."""

    destination: str
    """Subnet of the node that it belongs to, as far as Babel knows one."""
    prefix: str
    address: str
    """The node's own; it was asked who answers there."""
    routes: tuple[RouteStatus, ...]
    """The one in use first."""
    rtt_ms: float | None
    answered_by: str
    """Prefix in the certificate of who answered; empty: nobody of the network."""
    proven: bool
    """The prefix's own node answered."""
    reason: str
    """Why that is not proven."""


@dataclass(frozen=True, slots=True)
class Question:
    """What ``re6st`` asks."""

    ask: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """Answer to what is to be done, in words."""

    done: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Answer to a question that makes no sense, or to what cannot be done."""

    error: str


Answer = TypeVar("Answer", Status, Why, Done)


async def serve(
    path: Path,
    status: Callable[[], Status],
    why: Callable[[str], Awaitable[Why]],
    rotate: Callable[[str], str],
    restart: Callable[[], Awaitable[str]],
) -> asyncio.Server:
    """Listen, for root only.  ``why`` may raise ConfigError.  Raises ConfigError if that is not possible.

    ``rotate`` begins to end the tunnel with a peer and says so, or raises PeerError or WireError; ``restart``
    replaces the daemon, or raises ConfigError.
    """

    async def answer(question: Question) -> Status | Why | Done | Refusal:
        match question.ask:
            case "status":
                return status()
            case "why":
                return await why(question.about)
            case "rotate":
                return Done(rotate(question.about))
            case "restart":
                return Done(await restart())
        return Refusal(f"unknown question {question.ask[:40]!r}")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                question = decode_json_untrusted(Question, await reader.readline(), max_size=1024)
            async with asyncio.timeout(WHY_S):
                told = await answer(question)
            async with asyncio.timeout(TIMEOUT_S):
                writer.write(encode_json(told) + b"\n")
                await writer.drain()
        except (WireError, ConfigError, PeerError, ValueError) as exc:
            writer.write(encode_json(Refusal(str(exc)[:200])) + b"\n")
        except (OSError, TimeoutError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                await writer.wait_closed()

    old_mask = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        return await asyncio.start_unix_server(talk, path, limit=1024)
    except OSError as exc:
        raise ConfigError(f"cannot listen on {path}: {exc.strerror}") from exc
    finally:
        os.umask(old_mask)


async def ask_status(path: Path) -> Status:
    """Ask the daemon.  Raises ConfigError if none listens there, PeerError if it answers garbage."""
    return await _ask(path, Question("status"), Status, TIMEOUT_S)


async def ask_why(path: Path, about: str) -> Why:
    """The same about a destination.  Raises ConfigError also for what is none."""
    return await _ask(path, Question("why", about), Why, TIMEOUT_S + WHY_S)


async def ask_rotation(path: Path, peer: str) -> str:
    """Have the daemon end its tunnel with a peer; what it says.  Raises ConfigError also for a refusal."""
    return (await _ask(path, Question("rotate", peer), Done, TIMEOUT_S)).done


async def ask_restart(path: Path) -> str:
    """Have the daemon replace itself; what it says.  Raises ConfigError also for a refusal."""
    return (await _ask(path, Question("restart"), Done, TIMEOUT_S + WHY_S)).done


async def _ask(path: Path, question: Question, kind: type[Answer], within_s: float) -> Answer:
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE)
            writer.write(encode_json(question) + b"\n")
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
    except (FileNotFoundError, ConnectionRefusedError) as exc:
        raise ConfigError(
            f"no re6stnet answers on {path}: is it running (systemctl status re6stnet), and with this --run?"
        ) from exc
    except PermissionError as exc:
        raise ConfigError(f"{path} is for root only: try sudo") from exc
    except (OSError, TimeoutError, ValueError) as exc:
        raise PeerError(f"re6stnet does not answer on {path}: {exc or 'time-out'}") from exc
    with contextlib.suppress(WireError):
        raise ConfigError(decode_json_untrusted(Refusal, line, max_size=MAX_LINE).error)
    try:
        return decode_json_untrusted(kind, line, max_size=MAX_LINE)
    except WireError as exc:
        raise PeerError(f"re6stnet on {path}: {exc}") from exc
