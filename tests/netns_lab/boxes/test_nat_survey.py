"""The table of pairs, proved by packets."""

import pytest

from netns_lab.boxes.behaviour import BOXES, ENDS
from netns_lab.boxes.nat_survey import survey_kinds, survey_pairs

pytestmark = pytest.mark.root


def test_every_pair_of_kinds_is_as_the_table_says_whoever_sends_first() -> None:
    rows = survey_pairs()
    assert [row for row in rows if row.direct != row.expected] == []
    assert {(row.first, row.second) for row in rows if not row.one_box} == {
        (a, b) for a in ENDS for b in ENDS
    }
    assert {(row.first, row.hairpin) for row in rows if row.one_box} == {
        (kind, hairpin) for kind in BOXES for hairpin in (False, True)
    }


def test_a_kind_is_measured_with_hairpin_and_without() -> None:
    rows = survey_kinds(["masquerade"])
    assert [(row.kind, row.hairpin, row.as_expected) for row in rows] == [
        ("masquerade", False, True),
        ("masquerade", True, True),
    ]
