"""What became of every packet of a flow: when it was sent, whether and when it was answered.  Pure.

::

    sent      | | | | | | | | | | | |
    answered  | | |         | | |   |        two gaps: 4 packets, 1 packet
                    <------->   <->          a gap lasts from the first packet lost to the next one answered
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

_NEVER = -1.0
LAST_REPLIES_S = 1.0
"""How long a reply may be under way: younger packets of a running flow are not judged."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Consecutive packets that were lost; seconds on the clock of the flow."""

    start_s: float  # when the first of them was sent
    end_s: float  # when the next one that was answered was sent; else when the flow ended
    packets: int

    @property
    def length_s(self) -> float:
        """How long nothing got through."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Interval:
    """The round trips of a part of the time."""

    at_s: float  # its beginning
    median_ms: float
    largest_ms: float


class PacketLog:
    """Grows while the flow runs; every method takes the part of the time it looks at, default all of it."""

    def __init__(self) -> None:
        self._sent_s = array("d")
        self._rtt_ms = array("d")
        self._hops = array("B")
        self.finished = False  # nothing more is sent or awaited: every packet can be judged

    def __len__(self) -> int:
        return len(self._sent_s)

    def sent(self, at_s: float) -> int:
        """A packet was sent; returns its number."""
        self._rtt_ms.append(_NEVER)
        self._hops.append(0)
        self._sent_s.append(at_s)
        return len(self._sent_s) - 1

    def answered(self, sequence: int, rtt_ms: float, hops: int) -> None:
        """A reply came, to the newest packet whose number ends in these 16 bits."""
        newest = len(self._sent_s) - 1
        number = newest - ((newest - sequence) & 0xFFFF)
        if number >= 0 and self._rtt_ms[number] == _NEVER:  # else a duplicate
            self._hops[number] = min(hops, 255)
            self._rtt_ms[number] = max(0.0, rtt_ms)

    @property
    def span_s(self) -> tuple[float, float]:
        """When the first and the last packet was sent; there must be one."""
        return self._sent_s[0], self._sent_s[-1]

    @property
    def last_ms(self) -> float | None:
        """Round trip of the newest packet that was answered."""
        return next((rtt for rtt in reversed(self._rtt_ms) if rtt != _NEVER), None)

    def lost(self, since_s: float = 0.0, until_s: float = float("inf")) -> int:
        """How many packets sent in that time were not answered."""
        judged = self._judged()
        return sum(self._rtt_ms[i] == _NEVER for i in self._between(since_s, until_s) if i < judged)

    def gaps(self, since_s: float = 0.0, until_s: float = float("inf")) -> list[Gap]:
        """Every run of lost packets that begins in that time; each to its own end."""
        found: list[Gap] = []
        first: int | None = None
        for i in range(self._begin(since_s), self._judged()):
            if self._rtt_ms[i] == _NEVER:
                if first is None:
                    if self._sent_s[i] >= until_s:
                        break
                    first = i
            elif first is not None:
                found.append(Gap(self._sent_s[first], self._sent_s[i], i - first))
                first = None
        if first is not None:
            found.append(Gap(self._sent_s[first], self._sent_s[-1], self._judged() - first))
        return found

    def blackout_s(self, since_s: float = 0.0, until_s: float = float("inf")) -> float:
        """The longest gap; 0 without one."""
        return max((gap.length_s for gap in self.gaps(since_s, until_s)), default=0.0)

    def first_answer_s(self, since_s: float = 0.0) -> float | None:
        """When the answer to the first answered packet came that was sent from then on."""
        for i in self._between(since_s, float("inf")):
            if self._rtt_ms[i] != _NEVER:
                return self._sent_s[i] + self._rtt_ms[i] / 1000
        return None

    @property
    def last_answered_s(self) -> float | None:
        """When the newest packet that was answered was sent."""
        answered = (i for i in reversed(range(len(self._sent_s))) if self._rtt_ms[i] != _NEVER)
        return next((self._sent_s[i] for i in answered), None)

    def median_ms(self, since_s: float = 0.0, until_s: float = float("inf")) -> float | None:
        """Median round trip; None when nothing was answered."""
        times = [self._rtt_ms[i] for i in self._between(since_s, until_s) if self._rtt_ms[i] != _NEVER]
        return median(times) if times else None

    def intervals(self, width_s: float) -> Iterator[Interval]:
        """Round trips summed up, for a picture; a part without answers is left out."""
        start = 0
        while start < len(self._sent_s):
            end_s = self._sent_s[start] + width_s
            end = start
            while end < len(self._sent_s) and self._sent_s[end] < end_s:
                end += 1
            times = [rtt for rtt in self._rtt_ms[start:end] if rtt != _NEVER]
            if times:
                yield Interval(self._sent_s[start], median(times), max(times))
            start = end

    def hop_changes(self) -> list[tuple[float, int]]:
        """When the number of links that replies crossed changed, and to what."""
        changes: list[tuple[float, int]] = []
        for at_s, rtt, hops in zip(self._sent_s, self._rtt_ms, self._hops, strict=False):
            if rtt != _NEVER and (not changes or changes[-1][1] != hops):
                changes.append((at_s, hops))
        return changes

    def _judged(self) -> int:
        """Number of the first packet that may still be answered."""
        if self.finished or not self._sent_s:
            return len(self._sent_s)
        return self._begin(self._sent_s[-1] - LAST_REPLIES_S)

    def _begin(self, since_s: float) -> int:
        return bisect_left(self._sent_s, since_s)

    def _between(self, since_s: float, until_s: float) -> range:
        return range(self._begin(since_s), self._begin(until_s))
