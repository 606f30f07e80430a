"""Errors of this package are the router's fault, wherever they are caught."""

from babel_ctl.errors import RouterError
from re6st_core import errors


def test_a_caller_who_knows_only_the_common_tree_catches_them() -> None:
    assert issubclass(RouterError, errors.RouterError)
