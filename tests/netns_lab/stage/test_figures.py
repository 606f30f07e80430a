"""Percentiles are values that were measured; the best way may have relays, and each costs."""

from netns_lab.stage.figures import best_ways_ms, percentile


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(i) for i in range(20, 0, -1)]
    assert percentile(values, 95) == 19
    assert percentile(values, 100) == 20
    assert percentile(values, 50) == 10
    assert percentile([7.0], 95) == 7
    assert percentile([7.0], 0) == 7


def test_the_best_way_may_lead_over_relays_and_each_costs() -> None:
    direct = [[0.0, 10.0, 100.0], [10.0, 0.0, 20.0], [100.0, 20.0, 0.0]]
    assert best_ways_ms(direct, relay_ms=1.0) == [[0.0, 10.0, 31.0], [10.0, 0.0, 20.0], [31.0, 20.0, 0.0]]
    assert best_ways_ms(direct, relay_ms=80.0) == direct
    assert direct[0][2] == 100.0  # what is given stays as it is
