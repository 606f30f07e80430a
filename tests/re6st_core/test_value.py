"""Values cannot change, compare by content with their own kind only, and survive being copied."""

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from re6st_core.address import Endpoint
from re6st_core.prefix import Prefix
from re6st_core.value import Value
from tests.helpers.core_strategies import endpoints, prefixes

VALUES: st.SearchStrategy[Value] = st.one_of(prefixes(), endpoints())


@given(VALUES)
def test_a_copy_is_equal_and_hashes_the_same(value: Value) -> None:
    for other in (copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert other == value
        assert hash(other) == hash(value)
        assert type(other) is type(value)


@given(VALUES, st.sampled_from(["length", "ip", "anything"]))
def test_nothing_can_be_set_or_deleted(value: Value, name: str) -> None:
    with pytest.raises(AttributeError, match="immutable"):
        setattr(value, name, 1)
    with pytest.raises(AttributeError, match="immutable"):
        delattr(value, name)


@given(prefixes(), endpoints())
def test_different_kinds_are_never_equal_and_have_no_order(prefix: Prefix, endpoint: Endpoint) -> None:
    anything: Any = endpoint
    assert prefix != anything
    with pytest.raises(TypeError):
        assert prefix < anything


@given(VALUES)
def test_the_repr_shows_the_wire_form(value: Value) -> None:
    assert repr(value) == f"{type(value).__name__}({str(value)!r})"
