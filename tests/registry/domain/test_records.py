"""What is remembered does not tell secrets by accident."""

from registry.domain.records import Token
from tests.helpers.registry import now


def test_a_token_does_not_show_itself_in_logs() -> None:
    token = Token(text="abcdefghijkl", email="a@example.org", prefix_length=16, created=now())
    assert "efgh" not in f"{token} {token!r}"
