"""The page of evidence tells what was measured, what failed and what is missing."""

import dataclasses
from pathlib import Path

from benchmarks.evidence import PAGE, SCENARIO, load, main, page, table
from benchmarks.result import RESULTS, Figure, Result, figure
from benchmarks.sections import SECTIONS


def result(benchmark: str, *figures: Figure, failure: str | None = None) -> Result:
    """A result as a script leaves it."""
    return Result(
        benchmark=benchmark,
        question="How fast?",
        command=f"python -m benchmarks.{benchmark}",
        machine="2 x Some CPU, 24 GB",
        date="2026-11-27 04:10",
        commit="abc1234",
        load=0.5,
        seconds=61.0,
        figures=figures,
        versions={"iperf3": "3.12"},
        notes=("One.",) if figures else (),
        failure=failure,
    )


def section(text: str, heading: str) -> str:
    """What stands under a heading."""
    return text.partition(f"## {heading}\n")[2].partition("\n## ")[0]


def test_a_figure_stands_beside_what_made_it() -> None:
    measured = result("switch", figure("p99", 0.4, "ms", at_most=1))
    text = page({"switch": measured}, [])
    assert "| The lab's switch | 2026-11-27 04:10 | abc1234 | within its bounds |" in text
    told = section(text, "The lab's switch")
    assert "| p99 | 0.4 ms | <= 1 |" in told
    assert "- One." in told
    assert (
        "`python -m benchmarks.switch`, 2026-11-27 04:10 UTC, commit abc1234, took 61 s, load 0.5.  \n"
        "2 x Some CPU, 24 GB. iperf3 3.12."
    ) in told


def test_what_was_not_measured_is_said_to_be_so() -> None:
    text = page({}, ["cold_start"])
    assert text.count("| - | - | **not measured** |") == len(SECTIONS)
    assert "**Not measured**: `make bench ARGS=switch` has left no result." in section(
        text, "The lab's switch"
    )
    assert "| cold_start | **not played** |" in text
    assert "0 of 1 pass, 1 not played" in text


def test_a_failure_is_told_with_its_date() -> None:
    text = page({"switch": result("switch", failure="no such\nprogram | here")}, [])
    assert "| The lab's switch | 2026-11-27 04:10 | abc1234 | **FAILED** |" in text
    assert "**FAILED**: no such program \\| here" in section(text, "The lab's switch")


def test_a_missed_bound_and_a_missing_value_are_named_at_the_top() -> None:
    figures = figure("p99", 2, "ms", of="a", at_most=1), figure("rate", None, "1/s", of="b")
    text = page({"switch": result("switch", *figures)}, [])
    assert "| **missed**: a: p99; **not measured**: b: rate |" in text


def test_things_compared_are_rows_and_their_figures_columns() -> None:
    lines = table(
        [
            Figure("TCP", 9.5, "Mbit/s", of="wire", interval=(9, 10)),
            Figure("MTU", 1500, "bytes", of="wire"),
            Figure("TCP", 1234.5, "Mbit/s", of="ours", bound=">= 2000", met=False),
        ]
    ).splitlines()
    assert lines[0] == "| | TCP, Mbit/s | MTU, bytes |"
    assert lines[2:] == ["| wire | 9.5 [9, 10] | 1500 |", "| ours | 1234 (**>= 2000 missed**) |  |"]


def test_scenarios_are_lines_with_verdict_and_commit() -> None:
    passed = result(
        SCENARIO + "cold_start",
        Figure("verdict", "pass", "", met=True),
        figure("answering", 56, "", at_least=56),
    )
    failed = result(SCENARIO + "upnp", failure="upnp printed no report")
    text = page({each.benchmark: each for each in (passed, failed)}, ["cold_start", "upnp", "churn"])
    assert "| cold_start | pass | 61 | answering 56 (>= 56); One. | 2026-11-27 04:10 | abc1234 |" in text
    assert "| upnp | **FAILED** | 61 | upnp printed no report | 2026-11-27 04:10 | abc1234 |" in text
    assert "1 of 3 pass, 1 not played" in text


def test_a_result_without_a_section_is_shown_under_its_question() -> None:
    assert "| p99 | 2 ms |  |" in section(
        page({"new": result("new", figure("p99", 2, "ms"))}, []), "How fast?"
    )


def test_the_page_is_made_from_the_results_in_a_directory(tmp_path: Path) -> None:
    result("switch", figure("p99", 0.4, "ms")).write(tmp_path)
    assert main(["--results", str(tmp_path), "--page", str(tmp_path / "page.md")]) == 0
    assert "| p99 | 0.4 ms |" in (tmp_path / "page.md").read_text()


def test_the_page_in_the_tree_holds_every_result_in_the_tree() -> None:
    text = PAGE.read_text()
    for name, each in load(RESULTS).items():
        assert f"{each.date}" in text, f"{name} is newer than the page: python -m benchmarks.evidence"
        assert name.startswith(SCENARIO) or f"`{each.command}`, {each.date} UTC, commit {each.commit}" in text


def test_figures_of_a_busy_machine_are_marked() -> None:
    busy = dataclasses.replace(result("switch", figure("p99", 0.4, "ms", at_most=1)), load=3.5)
    assert "| within its bounds; on a busy machine |" in page({"switch": busy}, [])


def test_a_column_of_different_units_has_them_in_its_cells() -> None:
    lines = table([Figure("most", 3, "s", of="a"), Figure("most", 4, "MB", of="b")]).splitlines()
    assert lines == ["| | most |", "|---|---|", "| a | 3 s |", "| b | 4 MB |"]


def test_the_overview_names_the_first_missed_bounds_and_counts_the_others() -> None:
    figures = [figure(name, 2, "ms", at_most=1) for name in "abcde"]
    assert "| **missed**: a, b, c and 2 more |" in page({"switch": result("switch", *figures)}, [])
