"""Costs are babeld's whole numbers."""

from hypothesis import given
from hypothesis import strategies as st

from netns_lab.simulate.metric import OURS, RE6ST, Metric, of_parameters
from re6st_core.netparams import NetworkParameters


def test_re6st_costs_96_up_to_10_ms_and_5000_more_from_500_ms() -> None:
    costs = [RE6ST.cost(us) for us in (0, 10_000, 255_000, 500_000, 60_000_000)]
    assert costs == [96, 96, 96 + 2500, 5096, 5096]


def test_our_metric_is_what_the_network_says() -> None:
    parameters = NetworkParameters(version=1, rxcost=20, rtt_min_ms=2, rtt_max_ms=102, max_rtt_penalty=1000)
    assert of_parameters(parameters) == Metric("ours", 20, 2000, 102_000, 1000)
    assert OURS.cost(0) == NetworkParameters(version=1).rxcost


@given(st.sampled_from([OURS, RE6ST]), st.integers(0, 10**8), st.integers(0, 10**8))
def test_longer_never_costs_less(metric: Metric, a: int, b: int) -> None:
    assert 1 <= metric.cost(min(a, b)) <= metric.cost(max(a, b)) <= metric.base + metric.penalty
