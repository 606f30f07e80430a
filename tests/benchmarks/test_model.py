"""What many runs of a story show becomes figures; a bound is missed when one run missed it."""

from typing import Any

from benchmarks.model import figures_of


def report(**spread: Any) -> dict[str, Any]:  # Any: as decoded from JSON
    answer = {
        "unit": "s",
        "bound": "<= 60",
        "least": 4.0,
        "median": 5.0,
        "p95": 9.0,
        "most": 12.0,
        "missed": 0,
        **spread,
    }
    story = {"runs": 10, "failed": 0, "figures": {"answering": answer}}
    return {"simulated_minutes": 300.0, "simulated_minutes_per_s": 50.0, "stories": {"cold_start": story}}


def test_figures_of_all_runs_stand_beside_their_bound() -> None:
    figures = {(each.of, each.name): each for each in figures_of(report())}
    assert figures["1000 simulated minutes take", "value"].value == 20
    assert figures["cold_start: runs that failed of 10", "most"].met is True
    most = figures["cold_start: answering", "most"]
    assert (most.value, most.bound, most.met) == (12.0, "<= 60", True)
    assert figures["cold_start: answering", "median"].bound is None


def test_a_bound_that_some_run_missed_is_missed() -> None:
    assert {each.name: each.met for each in figures_of(report(missed=1))}["most"] is False


def test_a_lower_bound_stands_beside_the_least() -> None:
    bounds = {
        each.name: each.bound
        for each in figures_of(report(bound=">= 3"))
        if each.of == "cold_start: answering"
    }
    assert bounds == {"least": ">= 3", "median": None, "p95": None, "most": None}
