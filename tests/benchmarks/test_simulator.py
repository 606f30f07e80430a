"""What a simulation states becomes a row; what it does not state has no value."""

from benchmarks import simulator_large
from benchmarks.simulator import CASES, KNOWN_MEAN_MS, Simulated, figures_of, known_figures

LAST = {
    "mean_ms": 149.12345,
    "median_ratio_best": 1.2,
    "p99_ratio_best": 3,
    "median_ratio_direct": 0.9,
    "faster_than_direct": 0.6,
    "mean_hops": 2.5,
    "components": 1,
    "control_bytes": {"mean": 30_000, "max": 126_000},
}


def test_the_last_round_is_a_row_with_the_time_it_took() -> None:
    row = {each.name: each for each in figures_of(CASES[0], Simulated([{}, LAST], 30, 29.96, 55.04))}
    assert {each.of for each in row.values()} == {CASES[0].title}
    assert (row["mean RTT"].value, row["mean RTT"].unit) == (149.123, "ms")
    assert (row["took"].value, row["took"].met) == (30.0, True)
    assert row["CPU"].value == 55.0
    assert row["selection, most of any node"].value == 4200
    bound = {each.name: each for each in figures_of(CASES[2], Simulated([LAST], 30, 1, 1))}
    assert {each.name for each in bound.values() if each.met is False} == {
        "mean RTT", "median of best", "p99 of best", "selection, most of any node",
    }  # fmt: skip
    late = {each.name: each for each in figures_of(CASES[0], Simulated([LAST], 30, 30.2, 55))}
    assert late["took"].met is False


def test_a_figure_that_is_not_stated_has_no_value() -> None:
    row = {each.name: each.value for each in figures_of(CASES[0], Simulated([{"mean_ms": 149}], 30, 1, 1))}
    assert (row["mean RTT"], row["hops"]) == (149, None)


def test_both_rules_are_run_on_the_same_matrix_with_the_same_settings() -> None:
    ours, theirs = (case.words.replace("--rule re6st", "--rule ours") for case in CASES[:2])
    assert ours == theirs


def test_the_peer_is_held_to_the_means_it_is_known_for() -> None:
    rounds = [{"round": refreshes, "mean_ms": mean_ms + 2.9} for refreshes, mean_ms in KNOWN_MEAN_MS.items()]
    assert all(each.met for each in known_figures(rounds))
    rounds[0]["mean_ms"] += 0.2
    assert [each.met for each in known_figures(rounds)] == [False, True, True, True]
    assert known_figures([])[0].value is None


def test_ten_thousand_nodes_and_ten_rounds_may_take_a_quarter_of_an_hour() -> None:
    case = simulator_large.CASE
    assert "--synthetic 10000 " in case.words
    assert case.words.endswith("--rounds 10")
    assert case.within_s == 15 * 60
