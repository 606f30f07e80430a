"""What a simulation states becomes a row; what it does not state has no value."""

from benchmarks.simulator import CASES, figures_of

LAST = {
    "mean_ms": 149.12345,
    "median_ratio_best": 1.2,
    "p99_ratio_best": 3,
    "median_ratio_direct": 0.9,
    "faster_than_direct": 0.6,
    "mean_hops": 2.5,
    "components": 1,
}


def test_the_last_round_is_a_row_with_the_time_it_took() -> None:
    row = {each.name: each for each in figures_of(CASES[0], LAST, 29.96)}
    assert {each.of for each in row.values()} == {CASES[0].title}
    assert (row["mean RTT"].value, row["mean RTT"].unit) == (149.123, "ms")
    assert (row["took"].value, row["took"].met) == (30.0, True)
    assert figures_of(CASES[0], LAST, 30.2)[-1].met is False


def test_a_figure_that_is_not_stated_has_no_value() -> None:
    row = {each.name: each.value for each in figures_of(CASES[0], {"mean_ms": 149}, 1)}
    assert (row["mean RTT"], row["hops"]) == (149, None)


def test_both_rules_are_run_on_the_same_matrix_with_the_same_settings() -> None:
    ours, theirs = ([word for word in case.words if word not in {"ours", "re6st"}] for case in CASES[:2])
    assert ours == theirs
