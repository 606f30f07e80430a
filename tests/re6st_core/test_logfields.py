"""Log lines carry fields of a closed list, and no value can forge another field or line."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from re6st_core import logfields


def test_a_line_is_the_message_then_the_fields_in_order() -> None:
    line = logfields.describe("tunnel up", {logfields.PEER: "2/16", logfields.DEVICE: "re6st1"})
    assert line == "tunnel up peer=2/16 device=re6st1"


def test_an_unknown_field_is_a_bug() -> None:
    with pytest.raises(ValueError, match="colour"):
        logfields.describe("tunnel up", {"colour": "red"})


def test_the_list_names_every_field() -> None:
    assert set(logfields.FIELDS) == {
        value for name, value in vars(logfields).items() if name.isupper() and isinstance(value, str)
    }


@given(st.text())
def test_no_value_can_forge_a_field_or_a_line(value: str) -> None:
    line = logfields.describe("lost", {logfields.REASON: value})
    assert line.isprintable()
    assert line.startswith("lost reason=")
    written = line.removeprefix("lost reason=")
    assert written == value or ast.literal_eval(written) == value
