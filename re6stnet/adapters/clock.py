"""The node's clock: the host's, corrected by what the registry or the peers say, and loud about that.

:mod:`re6stnet.engine.clock` decides whom to believe.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from re6st_core.identity import Identity
from re6st_core.prefix import Prefix
from re6stnet.engine.clock import MeshClock, Reading, in_words

log = logging.getLogger(__name__)
SAY_AGAIN_S = 86400.0
"""How often a clock that stays wrong is said to be."""
CHANGED_S = 60.0
"""A clock that is wrong by so much more or less is news."""


def host() -> Reading:
    """The clocks of this host now."""
    return Reading(datetime.now(UTC), time.clock_gettime(time.CLOCK_BOOTTIME))


class Clock:
    """``read`` reads the host's clocks."""

    def __init__(self, identity: Identity, *, read: Callable[[], Reading] = host) -> None:
        certificate = identity.certificate
        self._clock = MeshClock(certificate.not_valid_before_utc, certificate.not_valid_after_utc)
        self._read = read
        self._said_s = 0.0
        self._said_at = 0.0

    def now(self) -> datetime:
        """The time to go by."""
        return self._clock.now(self._read())

    def precisely(self) -> datetime:
        """The same, as precisely as it is known, for what all nodes do at one moment."""
        return self._clock.now(self._read(), 0.0)

    def now_if_trusted(self) -> datetime | None:
        """The same; None if it may be anything, so that the dates of certificates can't be tested."""
        at = self._read()
        return self._clock.now(at) if self._clock.trusted(at) else None

    def now_if_told(self) -> datetime | None:
        """The same; None if neither the registry nor enough peers have told the time yet."""
        return self._clock.now(self._read()) if self._clock.source else None

    @property
    def wrong_by_s(self) -> float:
        """How far the host's clock is ahead (negative: behind), as far as is known."""
        return self._clock.wrong_by_s(self._read())

    @property
    def source(self) -> str:
        """Who has told the time: ``registry``, ``peers``, or nobody (empty)."""
        return self._clock.source

    @property
    def witness(self) -> str:
        """The same, for a sentence."""
        return {"registry": "the registry", "peers": "the majority of the peers"}.get(self.source, "nobody")

    def registry_says(self, date: datetime, error_s: float) -> None:
        """An answer of the registry, over TLS, has just come with this date, which may be so far from now."""
        at = self._read()
        self._clock.registry_says(date, at, error_s)
        self._say(at)

    def peer_says(self, peer: Prefix, date: datetime) -> None:
        """The same of a peer."""
        at = self._read()
        self._clock.peer_says(peer, date, at)
        self._say(at)

    def _say(self, at: Reading) -> None:
        wrong_by_s = self._clock.wrong_by_s(at)
        news = abs(wrong_by_s - self._said_s) > CHANGED_S or bool(wrong_by_s) != bool(self._said_s)
        if not news and not (wrong_by_s and at.steady - self._said_at > SAY_AGAIN_S):
            return
        self._said_s, self._said_at = wrong_by_s, at.steady
        if wrong_by_s:
            log.warning(
                "the clock of this host is %s, says %s: the node goes by that; set the clock",
                in_words(wrong_by_s),
                self.witness,
            )
        else:
            log.info("the clock of this host is right again")
