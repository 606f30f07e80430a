"""What all tests share: hypothesis profiles, and who may run the tests that need root.

``default``  the same examples at each run, so that a failure is never luck
``fuzz``     new examples at each run and many of them (``make fuzz``); a failure prints how to repeat it
"""

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("default", derandomize=True, deadline=None, database=None, max_examples=60)
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=20_000,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, visibly, what only root can do."""
    if os.geteuid() == 0:
        return
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(pytest.mark.skip(reason="needs root: namespaces and real daemons"))
