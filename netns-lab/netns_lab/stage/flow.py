"""A measured flow between two nodes: 100 packets a second over the overlay, every lost one known by time.

A thread of its own sends and receives, so that the lab's other work neither delays nor hides a packet; the
kernel stamps the replies.  When even the thread came late, that is counted: such a pause is the lab's fault.
"""

import contextlib
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from types import TracebackType
from typing import Self

from netns_lab.echo import open_raw, receive_reply, request
from netns_lab.namespace import Machine
from netns_lab.stage.packets import LAST_REPLIES_S, PacketLog

INTERVAL_S = 0.01
_LATE_S = 0.1


@dataclass(slots=True)
class Track:
    """The ways a flow took: when it changed to which nodes, ends included."""

    changes: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)

    def note(self, at_s: float, nodes: tuple[str, ...]) -> None:
        """This is the way now."""
        if not self.changes or self.changes[-1][1] != nodes:
            self.changes.append((at_s, nodes))

    @property
    def now(self) -> tuple[str, ...]:
        """The newest way known; empty when none is."""
        return self.changes[-1][1] if self.changes else ()


class Flow:
    """Runs from :meth:`start` (or ``with``) to :meth:`stop`; times are seconds on the given clock."""

    def __init__(
        self, a: str, b: str, machine: Machine, target: IPv6Address, *, clock: Callable[[], float]
    ) -> None:
        """``machine`` is that of a; ``target`` the overlay address of b."""
        self.a = a
        self.b = b
        self.target = target
        self.packets = PacketLog()
        self.track = Track()
        self.pauses = 0  # times that the lab itself was too busy to send
        self._machine = machine
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"flow {a}-{b}", daemon=True)
        self._socket: socket.socket | None = None

    def __str__(self) -> str:
        return f"{self.a}-{self.b}"

    @property
    def running(self) -> bool:
        """Whether packets are being sent."""
        return self._thread.is_alive()

    def start(self) -> Self:
        """Begin to send."""
        self._socket = open_raw(self._machine, socket.AF_INET6)
        self._identifier = secrets.randbelow(1 << 16)
        self._thread.start()
        return self

    def end(self) -> None:
        """Send no more; :meth:`stop` waits for the rest."""
        self._stop.set()

    def stop(self) -> None:
        """Stop sending, wait for the replies under way, and give the socket back; harmless when done."""
        if self._socket is None:
            return
        self.end()
        self._thread.join()
        self._socket.close()
        self._socket = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        assert self._socket is not None
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        due_s = self._clock()
        while not self._stop.is_set():
            now_s = self._clock()
            if now_s - due_s > _LATE_S:
                self.pauses += 1
                due_s = now_s
            if now_s >= due_s:
                self._send(now_s)
                due_s += INTERVAL_S
            if poll.poll(max(0.0, due_s - self._clock()) * 1000):
                self._receive()
        end_s = self._clock() + LAST_REPLIES_S
        self.packets.finished = True
        while self.packets.lost(end_s - 2 * LAST_REPLIES_S) and (left_s := end_s - self._clock()) > 0:
            if poll.poll(left_s * 1000):
                self._receive()

    def _send(self, now_s: float) -> None:
        assert self._socket is not None
        sequence = self.packets.sent(now_s) & 0xFFFF
        packet = request(socket.AF_INET6, self._identifier, sequence, time.time_ns())
        with contextlib.suppress(OSError):  # no route: the same as no answer
            self._socket.sendto(packet, (str(self.target), 0))

    def _receive(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(BlockingIOError):
            while True:
                received = receive_reply(self._socket, socket.AF_INET6, self._identifier)
                if received is not None:
                    sequence, reply = received
                    self.packets.answered(sequence, reply.rtt_ms, reply.hops)
