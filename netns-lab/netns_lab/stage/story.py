"""What a scenario tells: its steps while they happen, its figures, and the verdict they lead to.

On a terminal the step under way is a live line, above it what the stage wants to be watched; elsewhere every
line is plain and final.  With ``--json`` the story goes to standard error.  :meth:`Story.report` gives::

    {"scenario", "verdict": "pass" | "fail", "figures": {name: {"value", "unit", "bound", "met"}},
     "events": [{"at_s", "text"}], "failures": [text], "duration_s"}
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner

from netns_lab.bounded import Bounded

_PLAIN_EVERY_S = 2.0  # without a terminal, progress within a step is printed this often


@dataclass(frozen=True, slots=True)
class Figure(Bounded):
    """A measured value.  A bound that is missed fails the scenario unless it is only a ``target``."""

    target: bool = False

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
        self._live: Live | None = None
        self._under_way: list[Spinner] = []
        self._watched: Callable[[], RenderableType | None] = lambda: None

    @property
    def passed(self) -> bool:
        """The verdict so far."""
        return not self.failures

    @property
    def failures(self) -> tuple[str, ...]:
        """Everything that speaks against a pass."""
        missed = (f"{name.replace('_', ' ')}: {self._figures[name]}" for name in self.missed)
        return (*self._failures, *missed)

    @property
    def broken(self) -> tuple[str, ...]:
        """The failures that are no missed figures: something did not work at all."""
        return tuple(self._failures)

    @property
    def missed(self) -> tuple[str, ...]:
        """Names of the figures that missed a bound."""
        return tuple(name for name, figure in self._figures.items() if not figure.met and not figure.target)

    def step(self, text: str) -> "Step":
        """A step of the story, to be used as a context manager around what it does."""
        return Step(self, text)

    def event(self, text: str) -> None:
        """Something worth a line happened."""
        at_s = self.elapsed()
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

    def watch(self, what: Callable[[], RenderableType | None]) -> None:
        """On a terminal, keep showing what this returns, from now until :meth:`close`."""
        self._watched = what
        self._board()

    def close(self) -> None:
        """Nothing moves any more; lines can still be told."""
        if self._live is not None:
            self._live.stop()
            self._live = None

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
            "duration_s": round(self.elapsed(), 1),
        }

    def begin(self, text: str) -> Spinner | None:
        """Show that something is under way, on a terminal; for :class:`Step`."""
        if not self._console.is_terminal:
            return None
        spinner = Spinner("dots", f"{text} …")
        self._under_way.append(spinner)
        self._board()
        return spinner

    def end(self, spinner: Spinner) -> None:
        """Undo :meth:`begin`."""
        self._under_way.remove(spinner)

    def elapsed(self) -> float:
        """Seconds since the story began."""
        return self._clock() - self._start

    def _board(self) -> None:
        if self._live is None and self._console.is_terminal:
            self._live = Live(
                console=self._console, get_renderable=self._moving, refresh_per_second=5, transient=True
            )
            self._live.start()

    def _moving(self) -> RenderableType:
        watched = self._watched()
        return Group(*([watched] if watched is not None else []), *self._under_way)


class Step:
    """Shows that something is under way, how far it is, and how long it took."""

    def __init__(self, story: Story, text: str) -> None:
        self._story = story
        self._text = text

    def __enter__(self) -> Self:
        self._began = self._shown = self._story.elapsed()
        self._spinner = self._story.begin(self._text)
        return self

    def progress(self, text: str) -> None:
        """How far it is; cheap enough to be called for everything that happens."""
        if self._spinner is not None:
            self._spinner.update(text=f"{self._text}: {text}")
        elif self._story.elapsed() - self._shown >= _PLAIN_EVERY_S:
            self._shown = self._story.elapsed()
            self._story.event(f"  {self._text}: {text}")

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._spinner is not None:
            self._story.end(self._spinner)
        if kind is None:
            self._story.event(f"{self._text}  ({self._story.elapsed() - self._began:.1f} s)")
