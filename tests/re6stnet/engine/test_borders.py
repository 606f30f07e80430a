"""Tunnels do not cross the borders that the network closes, in either direction."""

import pytest

from re6stnet.engine.borders import may_cross


@pytest.mark.parametrize(
    ("own", "other", "allowed"),
    [
        ("FR", "FR", True),
        ("FR", "DE", False),
        ("DE", "FR", False),
        ("DE", "BR", True),
        ("FR", None, True),
        (None, "FR", False),
        (None, "DE", True),
    ],
)
def test_borders_of_one_country_are_closed(own: str | None, other: str | None, allowed: bool) -> None:
    assert may_cross(own, other, ("FR",)) is allowed
    assert may_cross(own, other, ())
