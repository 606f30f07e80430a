"""The tree of errors is the one its documentation draws."""

import re

from re6st_core import errors
from re6st_core.errors import ConfigError, Re6stError


def test_the_drawn_tree_is_the_real_one() -> None:
    drawn = set(re.findall(r"\+-- (\w+)", errors.__doc__ or ""))
    assert {kind.__name__ for kind in Re6stError.__subclasses__()} >= drawn
    assert drawn == {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Re6stError) and kind is not Re6stError
    }


def test_a_configuration_error_lists_every_problem_on_one_line() -> None:
    error = ConfigError("no certificate", "unknown option --colour")
    assert error.problems == ("no certificate", "unknown option --colour")
    assert str(error) == "no certificate; unknown option --colour"
