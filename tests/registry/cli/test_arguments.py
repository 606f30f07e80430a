"""The command line says what it wants."""

from pathlib import Path

import pytest

from registry.cli.arguments import DEFAULT_DIR, parser


def test_the_directory_has_a_default_everywhere() -> None:
    for words in (["run"], ["token", "add"], ["token", "list"], ["node", "list"], ["node", "revoke", "2/16"]):
        assert parser().parse_args(words).dir == DEFAULT_DIR


def test_hosts_and_addresses_are_repeatable() -> None:
    words = ["init", "--network", "fd00::/8", "--host", "a", "--host", "192.0.2.1", "--dir", "x"]
    arguments = parser().parse_args(words)
    assert (arguments.host, arguments.dir) == (["a", "192.0.2.1"], Path("x"))
    assert parser().parse_args(["run", "--listen", "::1"]).listen == ["::1"]


@pytest.mark.parametrize(
    "words", [[], ["token"], ["node"], ["init"], ["run", "--port", "x"], ["token", "delete"]]
)
def test_incomplete_commands_show_their_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args(words)
    assert caught.value.code == 2
    assert "usage: re6st-registry" in capsys.readouterr().err
