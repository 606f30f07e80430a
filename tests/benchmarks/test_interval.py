"""The interval of a median holds the median and is as wide as the values are apart."""

import random
import statistics

from benchmarks.interval import median_interval


def test_equal_values_leave_no_doubt() -> None:
    assert median_interval([3.0] * 5, random.Random(1)) == (3.0, 3.0)


def test_the_interval_holds_the_median_and_not_the_outliers() -> None:
    rng = random.Random(1)
    values = [rng.gauss(100, 1) for _ in range(30)] + [0.0, 1000.0]
    low, high = median_interval(values, rng)
    assert 98 < low <= statistics.median(values) <= high < 102
