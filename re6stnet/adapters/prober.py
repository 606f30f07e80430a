"""Probes of all tunnels, by a C thread (``_native/prober.c``): which peer answers, and how fast.

    C thread: probe, judge --eventfd--> event loop: TunnelAnswers, TunnelSilent --> engine

The thread needs neither the GIL nor the loop: a busy Python makes no tunnel silent, and times are right.
"""

import asyncio
import logging
import os
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any, Final

from re6st_core import logfields as lf
from re6st_core.errors import RouterError
from re6st_core.logfields import describe
from re6stnet._native._prober import ffi, lib
from re6stnet.engine.messages import TunnelAnswers, TunnelSilent
from re6stnet.ports import Post

log = logging.getLogger(__name__)

MAX_NEWS: Final = 64
LATE_S: Final = 1.0
"""A thread that is later than this says that the machine, or its clock, stood still."""


@dataclass(frozen=True, slots=True)
class Probes:
    """What the probes of one tunnel show."""

    silent: bool
    """Also before the first answer."""
    rtt_us: int | None
    loss: float
    """Share of probes without answer, smoothed over some tens of them."""
    sent: int
    answered: int
    foreign: int
    """Packets that answered no probe of ours."""


class Prober:
    """One thread for all tunnels; to be used by one event loop."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._prober: Any = None
        self._event_fd = -1
        self._tags: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._next_tag = 1

    def start(self) -> None:
        """Start the thread.  Raises RouterError."""
        made = lib.prober_new()
        if made == ffi.NULL:
            raise MemoryError
        self._prober = made
        self._event_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        error = lib.prober_start(self._prober, self._event_fd)
        if error:
            raise RouterError(f"cannot probe tunnels: {os.strerror(error)}")
        asyncio.get_running_loop().add_reader(self._event_fd, self._on_news)

    def close(self) -> None:
        """Stop the thread and free everything."""
        if self._event_fd >= 0:
            asyncio.get_running_loop().remove_reader(self._event_fd)
        if self._prober is not None:
            lib.prober_free(self._prober)
            self._prober = None
        if self._event_fd >= 0:
            os.close(self._event_fd)
            self._event_fd = -1

    def add(self, nonce: str, device: str, peer: IPv6Address) -> None:
        """Probe the link-local address of a peer on a device.  Raises RouterError."""
        tag, self._next_tag = self._next_tag, self._next_tag + 1
        error = lib.prober_add(self._prober, tag, device.encode(), peer.packed, 0)
        if error:
            raise RouterError(f"cannot probe {device}: {os.strerror(error)}")
        self._tags[nonce], self._names[tag] = tag, nonce

    def remove(self, nonce: str) -> None:
        """Probe it no more, if it was probed."""
        tag = self._tags.pop(nonce, None)
        if tag is not None:
            del self._names[tag]
            lib.prober_remove(self._prober, tag, 0)

    def probes(self, nonce: str) -> Probes | None:
        """What the probes of a tunnel show; None: it is not probed."""
        tag, stats = self._tags.get(nonce), ffi.new("prober_stats *")
        if tag is None or lib.prober_get_stats(self._prober, tag, stats):
            return None
        return Probes(
            silent=bool(stats.silent),
            rtt_us=stats.srtt if stats.srtt >= 0 else None,
            loss=stats.loss / 65536,
            sent=stats.sent,
            answered=stats.answered,
            foreign=stats.foreign,
        )

    def _on_news(self) -> None:
        os.eventfd_read(self._event_fd)
        news, late = ffi.new("prober_news[]", MAX_NEWS), ffi.new("int64_t *")
        count = lib.prober_take(self._prober, news, late)
        if late[0] > LATE_S * 1e6:
            reason = f"they ran {late[0] / 1e6:.1f} s late"
            log.warning(describe("probes say nothing of this moment", {lf.REASON: reason}))
        for item in news[0:count]:
            nonce = self._names.get(item.tag)
            if nonce is not None:
                silent = TunnelSilent(nonce, bool(item.witnessed))
                self._post(silent if item.silent else TunnelAnswers(nonce))
