"""Which pairs are expected to be direct: what everybody knows, and the page says what the function does."""

from pathlib import Path

import pytest

from netns_lab.boxes.behaviour import BLOCKED_UDP, BOXES, ENDS
from netns_lab.boxes.nat_pairs import expected_behind_one_box, expected_direct, kinds_table, pairs_table

README = Path(__file__).parents[3] / "netns-lab" / "README.md"


def test_it_does_not_matter_who_is_who() -> None:
    assert all(expected_direct(a, b) == expected_direct(b, a) for a in ENDS for b in ENDS)


def test_whoever_is_public_or_behind_a_full_cone_is_reached_by_all_that_have_udp() -> None:
    for end in ENDS:
        assert expected_direct(None, end) == (end != BLOCKED_UDP)
        assert expected_direct("full_cone", end) == (end != BLOCKED_UDP)


def test_only_a_filter_without_ports_lets_a_symmetric_nat_in() -> None:
    assert {end for end in ENDS if expected_direct("symmetric", end)} == {
        None,
        "full_cone",
        "address_restricted",
    }


def test_filters_by_port_open_to_each_other_when_mappings_stay() -> None:
    steady = ("port_restricted", "masquerade", "carrier_grade")
    assert all(expected_direct(a, b) for a in steady for b in steady)


def test_behind_one_box_everything_depends_on_hairpin() -> None:
    assert not any(expected_behind_one_box(kind, hairpin=False) for kind in BOXES)
    assert {kind for kind in BOXES if expected_behind_one_box(kind, hairpin=True)} == {
        "full_cone",
        "address_restricted",
        "port_restricted",
        "carrier_grade",
    }


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(KeyError):
        expected_direct("cone", None)


def test_the_page_has_the_tables() -> None:
    page = README.read_text()
    assert kinds_table() in page
    assert pairs_table() in page
