"""Kinds of NAT in the words of RFC 4787, and what two of them behind each other are."""

import pytest

from netns_lab.boxes.behaviour import BOXES, KINDS, Behaviour, Depends, behaviour_of, behind

OPEN = Behaviour(Depends.NOTHING, Depends.NOTHING, preserves_port=True)


def test_a_kind_of_one_box_behaves_as_its_box() -> None:
    assert all(behaviour_of(kind) == KINDS[kind] for kind in BOXES if kind != "carrier_grade")


def test_the_stricter_of_two_boxes_counts_whichever_is_outside() -> None:
    for kind in KINDS.values():
        assert behind(OPEN, kind) == behind(kind, OPEN)
        assert behind(OPEN, kind) == kind


def test_a_carrier_grade_site_filters_like_the_home_and_draws_ports_like_the_carrier() -> None:
    assert behaviour_of("carrier_grade") == Behaviour(
        Depends.NOTHING, Depends.ADDRESS_AND_PORT, preserves_port=False
    )


def test_packets_turn_round_at_the_outer_box() -> None:
    turning = Behaviour(Depends.NOTHING, Depends.NOTHING, preserves_port=True, hairpin=True)
    assert behind(OPEN, turning).hairpin
    assert not behind(turning, OPEN).hairpin


def test_hairpin_helps_nobody_behind_a_symmetric_nat() -> None:
    assert [kind for kind in BOXES if not behaviour_of(kind, hairpin=True).hairpin] == ["symmetric"]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(KeyError):
        behaviour_of("cone")


def test_a_behaviour_is_said_in_words_of_the_standard() -> None:
    assert [each.words for each in Depends] == [
        "endpoint-independent",
        "address-dependent",
        "address and port-dependent",
    ]
