"""Many runs: the same on one process and on several, failures kept with how to repeat them."""

import pytest

from netns_lab.model.runner import Run, Summary, spread, tell, tell_all
from netns_lab.model.stage import Figure, Result, Stage
from netns_lab.model.stories import STORIES

NODES = 8
RUNS = [Run("cold_start", seed, NODES) for seed in range(1, 5)]


def summed(runs: list[Run], jobs: int) -> Summary:
    summary = Summary()
    for run, result in tell_all(runs, jobs):
        summary.add(run, result)
    return summary


def test_results_do_not_depend_on_the_number_of_processes() -> None:
    one, two = (summed(RUNS, jobs) for jobs in (1, 2))
    digests = [{run.seed: result.digest for run, result in s.results["cold_start"]} for s in (one, two)]
    assert digests[0] == digests[1]
    assert len(set(digests[0].values())) == len(RUNS)
    assert one.passed


def test_leaving_early_ends_the_processes() -> None:
    results = tell_all([Run("cold_start", seed, NODES) for seed in range(1, 200)], 2)
    next(results)
    results.close()  # type: ignore[attr-defined]  # it is a generator
    assert next(results, None) is None


def test_a_failure_of_the_model_is_a_failed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(stage: Stage) -> Result:
        stage.populate()
        raise ZeroDivisionError("of the model")

    monkeypatch.setitem(STORIES, "broken", broken)
    result = tell(Run("broken", 1, NODES))
    assert not result.passed
    assert "ZeroDivisionError" in result.failures[0]


def test_a_run_says_how_to_see_it_again() -> None:
    assert Run("churn", 17, 24).command == "netns-lab model churn --seed 17 --nodes 24 --trace"


def result(seed: int, value: float | None, failures: tuple[str, ...] = ()) -> Result:
    figures = {"reach": Figure(value, "s", at_most=5, gap="issue 4: sooner")}
    return Result("churn", seed, figures, failures, "00000000", 120.0)


def test_figures_are_spread_over_runs() -> None:
    spreads = spread([result(seed, value) for seed, value in enumerate((1.0, 2.0, 3.0, 9.0, None))])
    assert spreads["reach"] == {
        "unit": "s",
        "bound": "<= 5",
        "least": 1.0,
        "median": 2.5,
        "p95": 9.0,
        "most": 9.0,
        "not_reached": 1,
        "missed": 2,
        "gap": "issue 4: sooner",
    }


def test_a_summary_fails_with_its_worst_run_and_lists_it() -> None:
    summary = Summary()
    summary.add(Run("churn", 2, NODES), result(2, 1.0))
    assert summary.report()["verdict"] == "pass"
    summary.add(Run("churn", 1, NODES), result(1, 1.0, ("it rains",)))
    report = summary.report()
    assert report["verdict"] == "fail"
    stories = report["stories"]
    assert isinstance(stories, dict)
    assert stories["churn"]["runs"] == 2
    assert stories["churn"]["failures"] == [
        {"seed": 1, "repeat": Run("churn", 1, NODES).command, "failures": ["it rains"]}
    ]
    assert report["simulated_minutes"] == 4.0
