"""What a scenario tells: its steps while they happen, its figures, and the verdict they lead to.

On a terminal the step under way is a live line; elsewhere every line is plain and final.  With ``--json`` the
story goes to standard error and standard output carries one object::

    {"scenario", "verdict": "pass" | "fail", "figures": {name: {"value", "unit", "bound", "met"}},
     "events": [{"at_s", "text"}], "failures": [text]}
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.status import Status

_PLAIN_EVERY_S = 2.0  # without a terminal, progress within a step is printed this often


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value.  A bound that is missed fails the scenario unless it is only a ``target``."""

    value: float | None  # None: could not be measured
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    target: bool = False

    @property
    def met(self) -> bool:
        """Whether the value is within its bounds; without bounds it always is."""
        if self.at_most is None and self.at_least is None:
            return True
        if self.value is None or (self.at_most is not None and self.value > self.at_most):
            return False
        return self.at_least is None or self.value >= self.at_least

    @property
    def bound(self) -> str | None:
        """The bound in words, as in ``<= 10``."""
        parts = [f"<= {self.at_most:g}"] if self.at_most is not None else []
        parts += [f">= {self.at_least:g}"] if self.at_least is not None else []
        return " and ".join(parts) or None

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:.4g} {self.unit}".strip()
        return (
            value if self.bound is None else f"{value} ({'target' if self.target else 'bound'} {self.bound})"
        )


class Story:
    """Collects and shows what happens; ``clock`` gives seconds on any steady clock."""

    def __init__(
        self, scenario: str, console: Console, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._scenario = scenario
        self._console = console
        self._clock = clock
        self._start = clock()
        self._events: list[dict[str, object]] = []
        self._figures: dict[str, Figure] = {}
        self._failures: list[str] = []

    @property
    def passed(self) -> bool:
        """The verdict so far."""
        return not self.failures

    @property
    def failures(self) -> tuple[str, ...]:
        """Everything that speaks against a pass."""
        missed = [
            f"{name}: {figure}"
            for name, figure in self._figures.items()
            if not figure.met and not figure.target
        ]
        return (*self._failures, *missed)

    def step(self, text: str) -> "Step":
        """A step of the story, to be used as a context manager around what it does."""
        return Step(self, text)

    def event(self, text: str) -> None:
        """Something worth a line happened."""
        at_s = self._clock() - self._start
        self._events.append({"at_s": round(at_s, 3), "text": text})
        self._console.print(f"{at_s:6.1f} s  {text}", highlight=False, markup=False, soft_wrap=True)

    def figure(self, name: str, figure: Figure) -> None:
        """Something was measured."""
        self._figures[name] = figure
        self.event(f"{name.replace('_', ' ')}: {figure}{'' if figure.met else '  MISSED'}")

    def expect(self, condition: bool, failure: str) -> bool:
        """What must hold for a pass; returns the condition."""
        if not condition:
            self._failures.append(failure)
            self.event(f"FAILED: {failure}")
        return condition

    def show(self, *what: RenderableType) -> None:
        """Print a table or a text as it is; it is no event."""
        self._console.print(*what, highlight=False, soft_wrap=True)

    def report(self) -> dict[str, object]:
        """The whole story as one JSON-able object."""
        return {
            "scenario": self._scenario,
            "verdict": "pass" if self.passed else "fail",
            "figures": {
                name: {"value": figure.value, "unit": figure.unit, "bound": figure.bound, "met": figure.met}
                for name, figure in self._figures.items()
            },
            "events": self._events,
            "failures": list(self.failures),
        }

    def live(self, text: str) -> Status:
        """A line that moves, on a terminal."""
        return self._console.status(text, spinner="dots")

    @property
    def on_terminal(self) -> bool:
        """Whether somebody is watching."""
        return self._console.is_terminal

    def now(self) -> float:
        """Seconds on the story's clock."""
        return self._clock()


class Step:
    """Shows that something is under way, how far it is, and how long it took."""

    def __init__(self, story: Story, text: str) -> None:
        self._story = story
        self._text = text
        self._status: Status | None = None

    def __enter__(self) -> Self:
        self._began = self._shown = self._story.now()
        if self._story.on_terminal:
            self._status = self._story.live(f"{self._text} …")
            self._status.start()
        return self

    def progress(self, text: str) -> None:
        """How far it is; cheap enough to be called for everything that happens."""
        if self._status is not None:
            self._status.update(f"{self._text}: {text}")
        elif self._story.now() - self._shown >= _PLAIN_EVERY_S:
            self._shown = self._story.now()
            self._story.event(f"  {self._text}: {text}")

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()
        if kind is None:
            self._story.event(f"{self._text}  ({self._story.now() - self._began:.1f} s)")
