"""What the lab's Internet has carried, and what it has dropped and why."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PortStats:
    """Counters of one port since the start."""

    received: int
    """Frames that came from it."""
    delivered: int
    """Frames that went out to it; a flooded one counts at each port."""
    dropped: Mapping[str, int]
    """Of those that came from it, by reason (the names of ``switch_model.Reason``), without zeros."""
    gone: bool = False
    """Its interface was deleted."""


@dataclass(frozen=True, slots=True)
class InternetStats:
    """Counters since the start; lateness is what a frame left later than its link says, None if not known."""

    ports: tuple[PortStats, ...]
    queued: int = 0
    peak_per_s: int | None = None
    """Frames delivered in the busiest second."""
    late_p50_us: int | None = None
    late_p99_us: int | None = None
    late_max_us: int | None = None

    @property
    def received(self) -> int:
        """Frames from all ports."""
        return sum(port.received for port in self.ports)

    @property
    def delivered(self) -> int:
        """Frames to all ports."""
        return sum(port.delivered for port in self.ports)

    @property
    def dropped(self) -> Counter[str]:
        """Drops of all ports by reason; a reason that did not occur counts 0."""
        return sum((Counter(port.dropped) for port in self.ports), Counter())

    def summary(self) -> str:
        """One line for who ran the lab."""
        parts = [f"{self.delivered} frames"]
        if self.peak_per_s is not None:
            parts.append(f"at most {self.peak_per_s} in a second")
        if self.late_p99_us is not None and self.late_max_us is not None:
            parts.append(
                f"late by {self.late_p99_us / 1000:g} ms (p99), {self.late_max_us / 1000:.3g} ms (most)"
            )
        drops = ", ".join(f"{reason} {count}" for reason, count in self.dropped.most_common())
        return f"{', '.join(parts)}; dropped: {drops or 'none'}"
