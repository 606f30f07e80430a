"""What a path of the lab's Internet does to packets, and what every implementation of that Internet offers.

Pure declarations: :mod:`netns_lab.internet.switch` does it in user space, with netem where the kernel has it.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Link:
    """One direction of the path between two ports."""

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    """Added to the delay, uniform from 0; order is kept unless ``reorder``."""
    loss: float = 0.0
    """Probability (0 to 1) that a packet vanishes."""
    rate_mbit: float | None = None
    """Packets queue behind each other at this rate; None: no limit."""
    mtu: int = 1500
    """Larger IP packets vanish without a word: a black hole."""
    reorder: bool = False


class Internet(Protocol):
    """A running Internet; ports are numbered in the order of the sites.  RouterError: it is dead."""

    def set_link(self, source: int, to: int, link: Link) -> None:
        """Change one direction of a path; packets in flight keep their time, none is overtaken."""

    def cut(self, a: int, b: int) -> None:
        """Let nothing pass between two ports, both ways, also not what is in flight."""

    def heal(self, a: int, b: int) -> None:
        """Undo :meth:`cut`: the links are as before."""

    def silence(self, port: int) -> None:
        """Drop all to and from a port while its carrier stays up: silent death of what is behind."""

    def revive(self, port: int) -> None:
        """Undo :meth:`silence`."""
