"""The command: its fixed form, the same bytes each time, and one line for each mistake."""

import json
from pathlib import Path

import pytest

from netns_lab.cli import main

PLANETLAB = Path(__file__).resolve().parents[3] / "netns-lab" / "data" / "planetlab490_median_ms.csv.xz"
SMALL = "0,10,20,60\n10,0,30,45\n20,30,0,20\n60,45,20,0\n"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.csv"
    path.write_text(SMALL)
    return path


def simulate(*options: object) -> int:
    return main(["simulate", *map(str, options)])


@pytest.mark.parametrize("rule", ["ours", "re6st"])
def test_the_same_form_prints_the_same_bytes(rule: str, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for _ in range(2):
        assert simulate(PLANETLAB, "--rule", rule, "--rounds", 2, "--hosts", 60, "--json") == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


def test_the_fixed_form_prints_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    form = [PLANETLAB, "--rule", "ours", "--tunnels", 10, "--rounds", 2, "--seed", 1, "--json"]
    assert simulate(*form) == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = json.loads(out)
    assert [one["round"] for one in found["rounds"]] == [1, 2]
    assert found["nodes"] == found["sampled_destinations"] == 490
    assert found["direct"]["mean_ms"] == pytest.approx(145.1, abs=0.05)


def test_without_json_it_is_a_table_and_files_are_written(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(small, "--rounds", 3, "--csv", tmp_path / "a.csv", "--plot", tmp_path / "a.svg") == 0
    assert "4 nodes, rule ours" in capsys.readouterr().out
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 5
    assert (tmp_path / "a.svg").read_text().startswith("<svg")


def test_a_synthetic_world_and_slices_are_simulated_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate("--synthetic", 50, "--sample", 10, "--rounds", 1, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["nodes"], found["sampled_destinations"]) == (50, 10)
    assert "10 destinations" in found["notes"][0]
    slices = tmp_path / "s.csv"
    slices.write_text("i,j,t1,t2\n0,1,10,20\n0,2,30,60\n1,2,50,100\n")
    assert simulate("--slices", slices, "--rounds", 1, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["start"]["direct_mean_ms"] * 2 == found["rounds"][0]["direct_mean_ms"]


def test_hosts_are_a_sample_of_the_matrix(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(small, "--hosts", 3, "--rounds", 1, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["nodes"] == 3
    assert found["notes"] == ["3 of 4 hosts, drawn at random"]


def test_the_metric_can_be_the_others(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(small, "--metric", "re6st", "--rounds", 1, "--json") == 0
    assert json.loads(capsys.readouterr().out)["metric"]["base"] == 96


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["simulate: exactly one of MATRIX, --slices FILE and --synthetic N is wanted"]),
        (
            ["M", "--synthetic", 5],
            ["simulate: exactly one of MATRIX, --slices FILE and --synthetic N is wanted"],
        ),
        (["M", "--hosts", 5], ["--hosts: small.csv has 4 hosts only"]),
        (["--synthetic", 9, "--hosts", 5], ["--hosts: a synthetic world has just the nodes you ask for"]),
        (["--slices", "M"], ["M: a matrix, or a single slice: give it without --slices"]),
        (
            ["M", "--loss", "all"],
            ["--loss: 'all' is not random:PERCENT or targeted:PERCENT with 1 to 99 per cent"],
        ),
        (
            ["M", "--rounds", 0, "--tunnels", 41, "--relay-ms", "nan", "--csv", "/nowhere/at/all"],
            [
                "--tunnels: 41 is outside 1..40",
                "--rounds: 0 is outside 1..10000",
                "--relay-ms: nan is outside 0..1000",
                "/nowhere/at/all: no such folder",
            ],
        ),
    ],
)
def test_every_mistake_of_the_command_line_is_named(
    small: Path, options: list[object], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(*(small if option == "M" else option for option in options)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.replace(str(small), "M").splitlines() == [f"netns-lab: {problem}" for problem in expected]


def test_a_broken_matrix_ends_with_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.csv"
    broken.write_text("0,x\n-1,0\n")
    assert simulate(broken, "--json") == 2
    assert capsys.readouterr().err.splitlines() == [
        f"netns-lab: {broken}: line 1, column 2: 'x' is not a number",
        f"netns-lab: {broken}: line 2, column 1: -1 ms is negative",
    ]


def test_a_file_that_cannot_be_written_is_named(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(small, "--rounds", 1, "--plot", "/dev/full") == 2
    assert capsys.readouterr().err == "netns-lab: /dev/full: No space left on device\n"
