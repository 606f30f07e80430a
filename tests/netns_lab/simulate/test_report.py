"""The report has the promised names, is valid JSON, and its CSV and table say the same."""

import csv
import io
import json

from rich.console import Console

from netns_lab.simulate.report import as_csv, as_table, report
from netns_lab.simulate.simulation import Simulation
from tests.netns_lab.simulate.test_simulation import WORLD, settings

PROMISED = {
    *("mean_ms", "median_ratio_best", "p99_ratio_best", "median_ratio_direct"),
    *("faster_than_direct", "mean_hops", "components"),
}


def found() -> dict[str, object]:
    simulation = Simulation(WORLD, settings())
    return report(WORLD, settings(), simulation, list(simulation.run()))


def test_each_round_has_the_promised_figures() -> None:
    read = json.loads(json.dumps(found(), allow_nan=False))
    assert [one["round"] for one in read["rounds"]] == [1, 2, 3, 4, 5, 6]
    assert all(one.keys() >= PROMISED for one in [read["start"], *read["rounds"]])
    assert sum(read["degrees"].values()) == read["nodes"] == 80
    assert read["rounds"][0]["control_bytes"]["by_kind"].keys() >= {"open", "close"}


def test_csv_has_a_line_for_each_round_and_a_name_for_each_column() -> None:
    read = found()
    rounds = read["rounds"]
    assert isinstance(rounds, list)
    lines = list(csv.DictReader(io.StringIO(as_csv(read))))
    assert [line["round"] for line in lines] == ["0", "1", "2", "3", "4", "5", "6"]
    assert [float(line["mean_ms"]) for line in lines[1:]] == [one["mean_ms"] for one in rounds]
    assert lines[3]["losses.targeted:10.components"] == "1"
    assert all(None not in line and None not in line.values() for line in lines)


def test_the_table_fits_a_terminal_and_ends_with_the_last_round() -> None:
    out = io.StringIO()
    Console(file=out, width=80).print(as_table(found()))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in out.getvalue()
    assert any(line.split()[:1] == ["6"] for line in lines)
    assert "best relay paths: mean" in out.getvalue()


def test_what_was_sampled_is_said() -> None:
    simulation = Simulation(WORLD, wanted := settings())
    rounds = list(simulation.run())
    simulation.destinations = simulation.destinations[:10]
    notes = report(WORLD, wanted, simulation, rounds)["notes"]
    assert notes == ["paths and ratios: from every node to 10 destinations, drawn at random"]
