"""The nodes heard of lately, from which bootstrap answers draw: every operation is O(1) per node returned."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from re6st_core.address import Endpoint
from re6st_core.prefix import Prefix

RECENT = timedelta(hours=3)
"""A healthy node calls every 20 minutes, or 25 at most: who has missed seven calls is probably gone, while a
registry that was away for two hours still knows everybody."""
STORE_AGAIN = timedelta(minutes=5)
"""One write per node in this time; a change may be written at once, if none was before it."""
STORE_BURST = 3
"""Changes that are written at once: a node that starts learns its endpoints in two or three steps."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A node that called: where it can be reached, when it did, and the certificate it showed."""

    prefix: Prefix
    endpoints: tuple[Endpoint, ...]
    serial: int
    seen: datetime
    stored: datetime | None = None
    """When the node was last written to the database; None: never."""
    stored_endpoints: tuple[Endpoint, ...] = ()
    """With which endpoints."""


class RandomSet:
    """A set from which random members are drawn in O(1): a list, and each member's place in it."""

    def __init__(self) -> None:
        self._list: list[Prefix] = []
        self._place: dict[Prefix, int] = {}

    def __len__(self) -> int:
        return len(self._list)

    def __contains__(self, member: Prefix) -> bool:
        return member in self._place

    def add(self, member: Prefix) -> None:
        """Put in, if not there yet."""
        if member not in self._place:
            self._place[member] = len(self._list)
            self._list.append(member)

    def discard(self, member: Prefix) -> None:
        """Take out, if there."""
        place = self._place.pop(member, None)
        if place is None:
            return
        last = self._list.pop()
        if place < len(self._list):
            self._list[place] = last
            self._place[last] = place

    def choose(self, count: int, without: set[Prefix], rng: random.Random) -> list[Prefix]:
        """Up to ``count`` members, all equally likely; the price does not depend on the size of the set."""
        chosen: dict[Prefix, None] = {}
        for _ in range(4 * count + len(without)):  # finds all of a small set, nearly always
            if len(chosen) == min(count, len(self._list)):
                break
            member = rng.choice(self._list)
            if member not in without:
                chosen[member] = None
        return list(chosen)


class Sightings:
    """The nodes that called within :data:`RECENT`."""

    def __init__(self) -> None:
        self._known: dict[Prefix, Sighting] = {}
        self._set = RandomSet()

    def __len__(self) -> int:
        return len(self._set)

    def get(self, prefix: Prefix) -> Sighting | None:
        """What is known of a node."""
        return self._known.get(prefix)

    def put(self, sighting: Sighting) -> None:
        """Remember, in the place of what was known."""
        self._known[sighting.prefix] = sighting
        self._set.add(sighting.prefix)

    def forget(self, prefix: Prefix) -> None:
        """Remove, if known."""
        self._known.pop(prefix, None)
        self._set.discard(prefix)

    def sample(
        self, count: int, *, without: set[Prefix], now: datetime, rng: random.Random
    ) -> list[Sighting]:
        """Up to ``count`` different nodes; outdated ones that are drawn are forgotten, and others drawn."""
        chosen: list[Sighting] = []
        while drawn := self._set.choose(count - len(chosen), without, rng):
            for prefix in drawn:
                if now - self._known[prefix].seen <= RECENT:
                    chosen.append(self._known[prefix])
                    without = without | {prefix}
                else:
                    self.forget(prefix)
        return chosen


def worth_storing(known: Sighting | None, endpoints: tuple[Endpoint, ...], now: datetime) -> bool:
    """Whether a call says something that the database does not have."""
    if known is None or known.stored is None:
        return True
    return now - known.stored >= STORE_AGAIN or known.stored_endpoints != endpoints
