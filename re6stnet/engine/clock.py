"""What time it is for the mesh, on a host whose clock may be wrong.  Pure.

    registry    what it says over TLS is believed
    peers       while the registry has not been heard: the median of what PEERS nodes or more say over TLS,
                if it is within the life of our own certificate
    host        else

What was heard is carried on by a clock that nobody sets (``steady``), so that it also outlives a host clock
that is set wrong later.  A single peer can't move our time, nor can any number of them beyond the dates of
our certificate.
"""

import statistics
from dataclasses import dataclass
from datetime import datetime, timedelta

from re6st_core.prefix import Prefix

TOLERANCE_S = 5.0
"""A host clock that is no further off is right: dates of HTTP have seconds, and take a while to arrive."""
DRIFT = 1e-4
"""How far the steady clock may go wrong meanwhile, seconds in a second."""
PEERS = 3
MAX_PEERS = 32


@dataclass(frozen=True, slots=True)
class Reading:
    """Both clocks of the host at one moment; ``steady``: seconds, never set, also passing in suspension."""

    wall: datetime
    steady: float

    @property
    def unix(self) -> float:
        """The wall clock, Unix time."""
        return self.wall.timestamp()


class MeshClock:
    """``not_before`` and ``not_after``: of our own certificate, so that now lies between them."""

    def __init__(self, not_before: datetime, not_after: datetime) -> None:
        self._life = (not_before.timestamp(), not_after.timestamp())
        self._start: float | None = None
        """Unix time when the steady clock was 0; None: nobody has told."""
        self._told_at = 0.0
        self._error_s = 0.0
        self._peers: dict[Prefix, float] = {}
        self.source = ""
        """Who told: ``registry``, ``peers``, or nobody."""

    def registry_says(self, date: datetime, at: Reading, error_s: float) -> None:
        """The registry's answer that has just come has this date, which may be so far from now.

        What is known better already is kept, as long as the two agree.
        """
        start = date.timestamp() - at.steady
        if self._start is not None and self.source == "registry":
            known_s = self._known_to_s(at)
            if error_s > known_s and abs(start - self._start) <= error_s + known_s:
                return
        self._tell(start, at, "registry", error_s)

    def _tell(self, start: float, at: Reading, source: str, error_s: float) -> None:
        self._start, self._told_at, self.source, self._error_s = start, at.steady, source, error_s

    def _known_to_s(self, at: Reading) -> float:
        """How far what was told may be wrong by now."""
        return self._error_s + DRIFT * (at.steady - self._told_at)

    def peer_says(self, peer: Prefix, date: datetime, at: Reading) -> None:
        """The same of a peer's answer."""
        if self.source == "registry":
            return
        self._peers.pop(peer, None)
        while len(self._peers) >= MAX_PEERS:
            del self._peers[next(iter(self._peers))]
        self._peers[peer] = date.timestamp() + 0.5 - at.steady
        if len(self._peers) >= PEERS:
            start = statistics.median(self._peers.values())
            if self._life[0] <= start + at.steady <= self._life[1]:
                self._tell(start, at, "peers", 1.0)

    def wrong_by_s(self, at: Reading, tolerance_s: float = TOLERANCE_S) -> float:
        """How far the host's clock is ahead (negative: behind); 0.0 if it is right, or nobody has told."""
        if self._start is None:
            return 0.0
        ahead_s = at.unix - (self._start + at.steady)
        return ahead_s if abs(ahead_s) > max(tolerance_s, self._known_to_s(at)) else 0.0

    def now(self, at: Reading, tolerance_s: float = TOLERANCE_S) -> datetime:
        """The time to go by; the host's clock is used if it is no further off than that."""
        return at.wall - timedelta(seconds=self.wrong_by_s(at, tolerance_s))

    def trusted(self, at: Reading) -> bool:
        """Whether dates of certificates can be tested: somebody has told, or the host may be right."""
        return self._start is not None or self._life[0] <= at.unix <= self._life[1]


def in_words(wrong_by_s: float) -> str:
    """Such as ``1 day, 0:00:03 ahead``."""
    span = timedelta(seconds=round(abs(wrong_by_s)))
    return f"{span} {'ahead' if wrong_by_s > 0 else 'behind'}"
