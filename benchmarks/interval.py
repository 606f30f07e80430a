"""How sure a median is."""

import random
import statistics
from collections.abc import Sequence

_RESAMPLES = 5_000


def median_interval(values: Sequence[float], rng: random.Random) -> tuple[float, float]:
    """95 % bootstrap interval of the median."""
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(_RESAMPLES))
    return medians[_RESAMPLES // 40], medians[-_RESAMPLES // 40 - 1]
