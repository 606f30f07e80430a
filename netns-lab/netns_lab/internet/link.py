"""What a path of the lab's Internet does to packets, and what every implementation of that Internet offers.

Pure: :mod:`netns_lab.internet.switch` does it in user space, :mod:`netns_lab.internet.netem` in the kernel.
On its way from port a to port b a frame meets, in this order::

    access line of a, up       one queue for all that a sends              Line.up_mbit
    path from a to b           MTU, loss, a queue, delay and jitter        Link
    access line of b, down     one queue for all that b receives           Line.down_mbit

A queue is as long as what its line carries in 100 ms; a frame that finds more waiting is dropped.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from netns_lab.internet.stats import InternetStats
from re6st_core.errors import ConfigError

MTU_MAX = 1500  # of the interfaces


@dataclass(frozen=True, slots=True)
class Link:
    """One direction of the path between two ports."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    """Added to the delay, between 0 and this much; order is kept unless ``reorder``."""
    loss: float = 0.0
    """Probability (0 to 1) that a packet vanishes."""
    rate_mbit: float | None = None
    """Packets queue behind each other at this rate, counted with their Ethernet header; None: no limit."""
    mtu: int = MTU_MAX
    """Larger IP packets vanish without a word: a black hole."""
    reorder: bool = False
    """Each packet draws its own jitter and overtakes others."""


@dataclass(frozen=True, slots=True)
class Line:
    """The line between a port and the Internet, shared by all of its paths; None: no limit."""

    up_mbit: float | None = None
    down_mbit: float | None = None


LIMITS = {"delay_ms": (0, 60_000), "jitter_ms": (0, 60_000), "loss": (0, 1), "mtu": (68, MTU_MAX)}
RATE_MBIT = (0.001, 100_000)


def problems(settings: Link | Line) -> Iterator[str]:
    """What is out of bounds in a link or a line, a phrase each; nothing if it can be used."""
    for name in settings.__dataclass_fields__:
        value = getattr(settings, name)
        low, high = LIMITS.get(name, RATE_MBIT)
        if name != "reorder" and value is not None and not low <= value <= high:
            yield f"{name} is {value:g}, not {low:g} to {high:g}"


def require(settings: Iterable[tuple[str, Link | Line]]) -> None:
    """Check links and lines, each with its name; ConfigError says all that is out of bounds."""
    if wrong := [f"{name}: {problem}" for name, each in settings for problem in problems(each)]:
        raise ConfigError(*wrong)


class Internet(Protocol):
    """A running Internet; ports are numbered in the order of the sites.

    Changes are in force when a method returns.  RouterError: it is dead or has no such port; ConfigError: a
    value is out of bounds.
    """

    @property
    def kind(self) -> str:
        """``switch`` or ``netem``."""

    @property
    def pid(self) -> int | None:
        """The process that carries the frames; None: the kernel does."""

    @property
    def alive(self) -> bool:
        """Whether it still carries frames."""

    def set_link(self, source: int, to: int, link: Link) -> None:
        """Change one direction of a path; packets in flight keep their time, none is overtaken."""

    def set_line(self, port: int, line: Line) -> None:
        """Change the access line of a port; packets that wait for it keep their time."""

    def cut(self, a: int, b: int) -> None:
        """Let nothing pass between two ports, both ways, also not what is in flight."""

    def heal(self, a: int, b: int) -> None:
        """Undo :meth:`cut`: the links are as they would be without it."""

    def silence(self, port: int) -> None:
        """Drop all to and from a port while its carrier stays up: silent death of what is behind."""

    def revive(self, port: int) -> None:
        """Undo :meth:`silence`."""

    def stats(self) -> InternetStats:
        """The counters as of now."""

    def check(self) -> None:
        """Raise RouterError if frames are no longer carried: it ended, or a port's interface was deleted."""

    def stop(self) -> None:
        """End it, and with it the interfaces of the ports; harmless when it has ended already."""
