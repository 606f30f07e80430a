"""Numbers made of many measurements.  Pure."""

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not exceeded by ``share`` percent of them; there must be some."""
    return sorted(values)[max(1, math.ceil(len(values) * share / 100)) - 1]


def best_ways_ms(direct_ms: Sequence[Sequence[float]], *, relay_ms: float) -> list[list[float]]:
    """Round trips of the fastest ways between all, over any number of relays that each cost ``relay_ms``."""
    best = [list(row) for row in direct_ms]
    for relay, onward in enumerate(best):
        for row in best:
            to_relay = row[relay] + relay_ms
            for to, rest in enumerate(onward):
                row[to] = min(row[to], to_relay + rest)
    return best
