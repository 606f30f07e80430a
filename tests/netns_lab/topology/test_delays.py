"""Delays from each of the four sources, and what is wrong with them."""

from pathlib import Path

import pytest

from netns_lab.topology import load_topology
from netns_lab.topology.cities import rtt_ms
from tests.helpers.topologies import mistakes, topology

TWO = '[[site]]\nname = "a"\n[[site]]\nname = "b"\n'
HOSTS = '[[site]]\nname = "a"\nhost = 2\n[[site]]\nname = "b"\nhost = 0\n'
CITIES = '[[site]]\nname = "a"\ncity = "Paris"\n[[site]]\nname = "b"\ncity = "Tokyo"\n'


def test_stated_delays_may_differ_by_direction() -> None:
    read = topology(TWO + "[delays]\nrtt_ms = [[0, 10], [20, 0]]")
    assert (read.link("a", "b").delay_ms, read.link("b", "a").delay_ms) == (5, 10)
    assert read.direct_rtt_ms("a", "b") == 15


def test_all_alike_and_by_cities() -> None:
    assert topology(TWO + "[delays]\nall_ms = 30").direct_rtt_ms("a", "b") == 30
    read = topology(CITIES + "[delays]\ncities = true")
    assert read.direct_rtt_ms("a", "b") == pytest.approx(rtt_ms("Paris", "Tokyo"))
    assert read.direct_rtt_ms("a", "a") == 0


def test_a_matrix_is_beside_the_file_and_hosts_are_its_rows(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("0,1,2\n1,0,12\n2,12,0\n")
    for sites, expected in ((HOSTS, 2), (TWO, 1)):
        (tmp_path / "t.toml").write_text(sites + '[delays]\nmatrix = "m.csv"')
        assert load_topology(tmp_path / "t.toml").direct_rtt_ms("a", "b") == expected


def test_offline_sites_have_no_row() -> None:
    read = topology(
        '[[site]]\nname = "off"\noffline = true\n' + TWO + "[delays]\nrtt_ms = [[0, 10], [10, 0]]"
    )
    assert read.direct_rtt_ms("a", "b") == 10
    assert read.direct_rtt_ms("off", "b") == 0
    assert topology('[[site]]\nname = "off"\noffline = true').nodes == ("off",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TWO, ["1: delays: a [delays] table is needed, with one of rtt_ms, matrix, cities, all_ms"]),
        (TWO + "[delays]", ["5: delays: exactly one of rtt_ms, matrix, cities, all_ms is needed, not none"]),
        (
            TWO + "[delays]\nall_ms=1\ncities=true",
            ["5: delays: exactly one of rtt_ms, matrix, cities, all_ms is"],
        ),
        ("delays = 3\n" + TWO, ["1: delays: must be a table"]),
        (TWO + "[delays]\nall_ms = -1", ["6: delays: all_ms: -1 is not a number from 0 to 10000 ms"]),
        (TWO + "[delays]\nall_ms = 1\nrt_ms = []", ["7: delays: rt_ms: unknown key, did you mean 'rtt_ms'?"]),
        (TWO + "[delays]\nrtt_ms = [[0, 1]]", ["6: delays: rtt_ms: 1 rows for 2 sites"]),
        (TWO + "[delays]\nrtt_ms = [\n[0, 1],\n[1]]", ["8: delays: row b: rtt_ms: 1 values for 2 sites"]),
        (
            TWO + "[delays]\nrtt_ms = [\n[3, nan],\n[true, 0]]",
            [
                "7: delays: row a: rtt_ms: nan is not a number from 0 to 10000 ms",
                "7: delays: row a: rtt_ms: a site is 0 ms from itself, not 3",
                "8: delays: row b: rtt_ms: True is not a number",
            ],
        ),
        (TWO + "[delays]\nrtt_ms = [0, [0, 0]]", ["6: delays: row a: rtt_ms: 0 is not a list"]),
        (
            TWO + "[delays]\ncities = true",
            [
                "1: site a: it needs a city, as the delays are by cities",
                "3: site b: it needs a city, as the delays are by cities",
            ],
        ),
        (
            CITIES.replace("Tokyo", "Tokio") + "[delays]\ncities = true",
            ["6: site b: city: 'Tokio' is not known, did you mean 'Tokyo'?"],
        ),
        (
            CITIES.replace("Tokyo", "X") + "[delays]\ncities = true",
            ["6: site b: city: 'X' is not known: there are Amsterdam, "],
        ),
        (CITIES + "[delays]\ncities = false", ["8: delays: cities: must be true, or left out"]),
        (
            CITIES + "[delays]\nall_ms = 1",
            ["3: site a: city: only with delays by cities", "6: site b: city: only with"],
        ),
        (
            HOSTS + "[delays]\nall_ms = 1",
            ["3: site a: host: only with delays by matrix", "6: site b: host: only with"],
        ),
        (HOSTS + "[delays]\nmatrix = 'absent.csv'", ["8: delays: matrix: "]),
        (HOSTS + "[delays]\nmatrix = 3", ["8: delays: matrix: 3 is not a text"]),
        (
            HOSTS.replace("host = 0", "host = 2") + "[delays]\nmatrix = 'm.csv'",
            ["6: site b: host: 2 is that of site a already"],
        ),
        (HOSTS.replace("host = 0\n", "") + "[delays]\nmatrix = 'm.csv'", ["4: site b: it needs a host"]),
        (HOSTS.replace("host = 0", "host = 7") + "[delays]\nmatrix = 'm.csv'", ["8: delays: matrix: "]),
    ],
)
def test_wrong_delays_are_explained(tmp_path: Path, text: str, expected: list[str]) -> None:
    (tmp_path / "m.csv").write_text("0,1,2\n1,0,12\n2,12,0\n")
    found = mistakes(tmp_path, text)
    assert len(found) == len(expected), found
    for each, start in zip(found, expected, strict=True):
        assert each.startswith(start), found
