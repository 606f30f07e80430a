"""Virtual time: what is to happen and when, and a trace of what happened by which two runs are compared."""

import heapq
import itertools
import zlib
from collections.abc import Callable

Work = Callable[[], None]


class Agenda:
    """Work by time; what is due at the same moment is done in the order in which it was noted."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds since the model began."""
        self.done = 0
        """Pieces of work so far."""
        self._heap: list[tuple[float, int, Work]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def after(self, delay_s: float, work: Work) -> None:
        """Do something later; ValueError for the past."""
        self.at(self.now + delay_s, work)

    def at(self, when: float, work: Work) -> None:
        """Do something at a time of this clock; ValueError for the past."""
        if when < self.now:
            raise ValueError(f"{when} is in the past, now is {self.now}")
        heapq.heappush(self._heap, (when, next(self._order), work))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        heap = self._heap
        while heap and heap[0][0] <= end:
            self.now, _, work = heapq.heappop(heap)
            self.done += 1
            work()
        self.now = end


class Trace:
    """A digest of everything that was noted; ``show`` also gets each line, for people."""

    def __init__(self, agenda: Agenda, show: Callable[[str], None] | None = None) -> None:
        self._agenda = agenda
        self._show = show
        self._crc = 0

    @property
    def digest(self) -> str:
        """Equal for equal runs."""
        return f"{self._crc:08x}"

    @property
    def shown(self) -> bool:
        """Whether somebody reads along: only then are details worth their price."""
        return self._show is not None

    def note(self, who: str, what: str, details: object = "") -> None:
        """``details`` are only shown, and only then made into text."""
        line = f"{self._agenda.now:.6f} {who} {what}"
        self._crc = zlib.crc32(line.encode(), self._crc)
        if self._show is not None:
            self._show(f"{self._agenda.now:12.3f}  {who:10} {what}  {details}".rstrip())
