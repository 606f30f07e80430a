"""The tree of errors: one family for the caller, one for the server."""

import inspect

from re6st_core.errors import RegistryError
from registry import errors
from registry.http.problems import STATUSES


def test_all_are_the_registry_s() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert all(issubclass(kind, RegistryError) for kind in kinds)


def test_every_rejection_has_its_own_status() -> None:
    rejections = errors.RejectedError.__subclasses__()
    assert set(rejections) <= set(STATUSES)
    assert errors.RefusedError("no", 403).status == 403
