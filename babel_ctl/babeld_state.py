"""What must outlive the daemon and babeld: router id, sequence number, process, interfaces and their keys.

One JSON file, replaced atomically.  The router id is kept because neighbours would see a new one as a second
announcer of our prefix.  With the id comes the sequence number: after a crash babeld would draw a random one,
and neighbours that remember a newer one refuse our routes as not feasible for minutes (RFC 8966 §3.5.1,
§3.8.2.1). babeld writes its own state file (the number alone) only on a clean exit, so before every start
after a crash we write one that is safely newer.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from babel_ctl.config import InterfaceParameters
from babel_ctl.process import ProcessIdent
from re6st_core.errors import ConfigError

SEQNO_LEAP: Final = 1000
"""More than babeld raises its number between two of its starts, far less than half the circle of 65536."""


class BabeldState(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file; ``argv`` tells whether a living babeld runs with today's configuration."""

    router_id: str
    seqno: int
    process: ProcessIdent | None = None
    argv: tuple[str, ...] = ()
    interfaces: dict[str, InterfaceParameters] = msgspec.field(default_factory=dict)
    keys: dict[str, str] = msgspec.field(default_factory=dict)
    """Hexadecimal; the file is for its owner only."""

    def __repr__(self) -> str:
        return f"BabeldState(router_id={self.router_id!r}, seqno={self.seqno})"


def new_router_id(random_bytes: bytes) -> str:
    """Make a router id of 8 random bytes: locally administered, not multicast."""
    return bytes(((random_bytes[0] & 0xFC) | 0x02, *random_bytes[1:8])).hex(":")


def load(path: Path) -> BabeldState | None:
    """Return the stored state; None when there is none or it is damaged (it can be made anew)."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=BabeldState)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}") from exc


def save(path: Path, state: BabeldState) -> None:
    """Replace the stored state; raises ConfigError when the disk refuses, the old state stays then."""
    replace_file(path, msgspec.json.encode(state))


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    temporary = ""
    try:
        fd, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with open(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except OSError as exc:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise ConfigError(f"cannot write {path}: {exc.strerror}") from exc


def next_seqno(babeld_file: Path, stored: int) -> int:
    """Return the number to start babeld with: its own after a clean exit, else one newer than ``stored``."""
    try:
        return int(babeld_file.read_text(encoding="ascii")) & 0xFFFF
    except (OSError, ValueError):
        return (stored + SEQNO_LEAP) & 0xFFFF
