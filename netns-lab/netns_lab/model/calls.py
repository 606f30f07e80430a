"""Questions and answers over TCP and TLS: how long they take, when they fail, what they cost.

    --SYN-->  <--SYN/ACK--  --ClientHello-->  <--...Finished--  --Finished, request-->  serve()  <--answer--

The way is asked again at each end of a leg, so that what breaks meanwhile breaks the call.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from netns_lab.model import wire
from netns_lab.model.agenda import Agenda

Answer = tuple[int, object]
"""Size of the body, and what it says."""
Reply = Callable[[Answer], None]
LOST_S = (1.0, 3.0, 7.0)
"""How long TCP's first retransmissions wait in all (RFC 6298: one second, then twice as long)."""
REFUSED = "refused"
MAX_SHOWN_TRIES = len(LOST_S)


class Way(Protocol):
    """One way between two machines; each method looks at the world as it is now."""

    def one_way_s(self) -> float | None:
        """Delay there; None: nothing passes."""

    def listens(self) -> bool:
        """Whether somebody accepts the connection there."""

    def count(self, size: int, *, back: bool) -> None:
        """So many bytes are sent, or sent back."""


@dataclass(slots=True)
class Call:
    """One question.  ``done(None)``: no answer; ``REFUSED``: nobody listens."""

    agenda: Agenda
    rng: random.Random
    way: Way
    size: int
    timeout_s: float
    serve: Callable[[Reply], None]
    """Called at the other end, with where to give the answer, at once or later."""
    done: Callable[[Answer | str | None], None]
    loss: float = 0.0
    connect_timeout_s: float = 3.0
    standing: bool = False
    """The connection is there already."""
    over: bool = False

    def start(self) -> None:
        """Begin; exactly one ``done`` follows."""
        delay_s = self.way.one_way_s()
        if delay_s is None:
            self.agenda.after(min(self.connect_timeout_s, self.timeout_s), lambda: self._finish(None))
            return
        self.agenda.after(self.timeout_s, lambda: self._finish(None))
        if not self.way.listens():
            self.agenda.after(2 * delay_s, lambda: self._finish(REFUSED))
            return
        if not self.standing:
            self.way.count(wire.tls_opening(wire.TLS_CLIENT), back=False)
            self.way.count(wire.tls_opening(wire.TLS_SERVER), back=True)
        self.way.count(wire.over_tls(self.size + wire.HTTP_REQUEST), back=False)
        legs = 1 if self.standing else 5
        self.agenda.after(legs * delay_s + self._lost_s(legs), self._arrive)

    def _lost_s(self, packets: int) -> float:
        """What retransmissions add; at most a few, then the time-out decides."""
        if not self.loss:
            return 0.0
        lost = 0
        for _ in range(packets):
            while lost < MAX_SHOWN_TRIES and self.rng.random() < self.loss:
                lost += 1
        return LOST_S[lost - 1] if lost else 0.0

    def _arrive(self) -> None:
        if self.over or self.way.one_way_s() is None:
            return
        if not self.way.listens():
            self._finish(REFUSED)
            return
        self.serve(self._reply)

    def _reply(self, answer: Answer) -> None:
        delay_s = self.way.one_way_s()
        if self.over or delay_s is None:
            return
        self.way.count(wire.over_tls(answer[0] + wire.HTTP_ANSWER), back=True)
        self.agenda.after(delay_s + self._lost_s(1), lambda: self._finish(answer))

    def _finish(self, answer: Answer | str | None) -> None:
        if not self.over:
            self.over = True
            self.done(answer)
