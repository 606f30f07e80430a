"""What Babel hears of a tunnel's other end: hellos that arrive, or no longer do.

Hellos are not sent one by one.  When a direction begins or ceases to carry packets, the moment at which
babeld notices is drawn from what was measured with it.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from netns_lab.model.agenda import Agenda

HEARD_AFTER = 0.3, 1.6
"""Hello intervals until a new neighbour is used: one hello is enough with link quality."""
DEAF_AFTER = 12.1, 14.3
IMPATIENT = 2.5, 3.6
"""Hello intervals until a silent neighbour is given up, with link quality and without
(docs/decisions/0008-babeld-settings.md)."""
TOLD_AFTER = 0.0, 1.0
"""A neighbour that no longer hears us says so with its next hello (babeld's "marginal" IHU)."""


class Carrier(Protocol):
    """What a tunnel is made of, as far as Babel's packets are concerned."""

    openvpn: bool
    """Else WireGuard: tells how large packets become."""

    def carries(self, end: int) -> bool:
        """Whether packets that this end (0 or 1) sends arrive at the other."""

    def one_way_s(self, end: int) -> float:
        """Delay of a packet from this end, without noise."""

    def loss(self) -> float:
        """Share of packets lost on the way."""


@dataclass(slots=True)
class _Direction:
    """From one end to the other."""

    carries: bool = False
    audible: bool = False
    """So that hellos are heard at the other end."""
    heard: bool = False
    generation: int = 0
    """Plans of an earlier one are void."""


@dataclass(eq=False, slots=True)
class Link:
    """One tunnel between two nodes; ``told(end, alive)``: the babeld of that end has changed its mind."""

    name: str
    nodes: tuple[int, int]
    carrier: Carrier
    agenda: Agenda
    rng: random.Random
    hello_s: float
    told: Callable[[int, bool], None]
    speaks: list[bool] = field(default_factory=lambda: [True, True])
    """Whether each end's babeld has the interface."""
    impatient: list[bool] = field(default_factory=lambda: [False, False])
    """Whether each end's babeld does without link quality."""
    alive: list[bool] = field(default_factory=lambda: [False, False])
    """What each end's babeld thinks."""
    _from: list[_Direction] = field(default_factory=lambda: [_Direction(), _Direction()])

    def other(self, node: int) -> int:
        """The node at the far end."""
        return self.nodes[1] if node == self.nodes[0] else self.nodes[0]

    def end(self, node: int) -> int:
        """Which end a node is."""
        return 0 if node == self.nodes[0] else 1

    def carries(self, node: int) -> bool:
        """Whether packets that ``node`` sends into the tunnel arrive now."""
        return self._from[self.end(node)].carries

    @property
    def works(self) -> bool:
        """Whether a packet gets an answer."""
        return self._from[0].carries and self._from[1].carries

    def refresh(self) -> bool:
        """Look again whether packets pass; True if something changed."""
        changed = False
        for end, direction in enumerate(self._from):
            carries = self.carrier.carries(end)
            changed |= carries != direction.carries
            direction.carries = carries
            self._listen(end)
        return changed

    def speak(self, node: int, speaks: bool) -> None:
        """A node's babeld gets the interface, or loses it."""
        self.speaks[self.end(node)] = speaks
        if not speaks:
            self.alive[self.end(node)] = False
        for end in (0, 1):
            self._listen(end)

    def _listen(self, end: int) -> None:
        direction = self._from[end]
        audible = direction.carries and all(self.speaks)
        if audible != direction.audible:
            direction.audible = audible
            direction.generation += 1
            self._plan(end)

    def _plan(self, end: int) -> None:
        """Work out when the other end notices what this direction does."""
        direction = self._from[end]
        if direction.audible != direction.heard:
            deaf_after = IMPATIENT if self.impatient[1 - end] else DEAF_AFTER
            low, high = HEARD_AFTER if direction.audible else deaf_after
            self._later(end, self.rng.uniform(low, high), partial(self._hear, end, direction.audible))

    def _later(self, end: int, hellos: float, work: Callable[[], None]) -> None:
        direction = self._from[end]
        generation = direction.generation

        def due() -> None:
            if direction.generation == generation:
                work()

        self.agenda.after(hellos * self.hello_s, due)

    def _hear(self, end: int, heard: bool) -> None:
        self._from[end].heard = heard
        if heard:
            if all(d.heard for d in self._from):
                for side in (0, 1):
                    self._tell(side, True)
            return
        listener = 1 - end
        self._tell(listener, False)
        if self._from[listener].audible:
            delay = self.rng.uniform(*TOLD_AFTER)
            self._later(end, delay, partial(self._tell_if_unheard, end))

    def _tell_if_unheard(self, end: int) -> None:
        """Our hellos are not heard, says the neighbour."""
        if not self._from[end].heard:
            self._tell(end, False)

    def _tell(self, side: int, alive: bool) -> None:
        if self.alive[side] != alive and (self.speaks[side] or not alive):
            self.alive[side] = alive
            self.told(side, alive)
