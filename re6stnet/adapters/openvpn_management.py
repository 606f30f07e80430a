"""OpenVPN's management interface (``doc/management-notes.txt``): who is connected, and sending somebody away.

One short connection per question. OpenVPN waits for nobody there: while the daemon is away it goes on as
before, unlike with client-auth, and unlike with a status file nothing is written when nobody asks.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from re6st_core.errors import RouterError, WireError

MAX_ANSWER: Final = 1 << 18
_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Client:
    """A client whose handshake is over."""

    cn: str
    since: datetime
    rx_bytes: int
    tx_bytes: int
    """From the server's point of view."""


def decode_status_untrusted(text: str) -> tuple[Client, ...]:
    """Read the answer to ``status 3``: fields separated by tabs.  Raises WireError."""
    clients = []
    for line in text.splitlines():
        fields = line.split("\t")
        if fields[0] != "CLIENT_LIST" or fields[1:2] == ["UNDEF"]:
            continue
        try:
            cn, received, sent, since = fields[1], int(fields[5]), int(fields[6]), int(fields[8])
            clients.append(Client(cn, datetime.fromtimestamp(since, UTC), received, sent))
        except (IndexError, ValueError, OverflowError, OSError) as exc:
            raise WireError(f"OpenVPN's status has the line {line[:80]!r}") from exc
    return tuple(clients)


async def clients(path: Path) -> tuple[Client, ...]:
    """Who is connected to the server behind this socket.  Raises RouterError."""
    answer = await _ask(path, "status 3", lambda line: line == "END" or line.startswith("ERROR:"))
    try:
        return decode_status_untrusted(answer)
    except WireError as exc:
        raise RouterError(str(exc)) from exc


async def disconnect(path: Path, cn: str) -> bool:
    """Send a client away; whether it was there.  Raises RouterError."""
    answer = await _ask(path, f"kill {cn}", lambda line: line.startswith(("SUCCESS:", "ERROR:")))
    return "SUCCESS:" in answer


async def _ask(path: Path, command: str, is_last: Callable[[str], bool]) -> str:
    lines: list[str] = []
    size = 0
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(command.encode() + b"\n")
                while not lines or not is_last(lines[-1]):
                    line = await reader.readline()
                    size += len(line)
                    if not line.endswith(b"\n") or size > MAX_ANSWER:
                        raise RouterError(f"{path}: OpenVPN's answer has no end")
                    lines.append(line.decode(errors="replace").rstrip("\r\n"))
            finally:
                writer.close()
    except TimeoutError as exc:
        raise RouterError(f"{path}: no answer in {_TIMEOUT_S:g} s") from exc
    except (OSError, ValueError) as exc:
        raise RouterError(f"{path}: {exc}") from exc
    return "\n".join(lines)
