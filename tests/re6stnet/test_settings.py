"""Settings are validated once, and every mistake is named in one go."""

from pathlib import Path
from typing import Any

import pytest

from re6st_core.errors import ConfigError
from re6st_core.prefix import Prefix
from re6stnet.settings import Settings, settings_from


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    for name in ("ca.crt", "cert.crt", "cert.key"):
        (tmp_path / name).touch()
    return {
        "registry": "http://registry.example/",
        "ca": "ca.crt",
        "cert": "cert.crt",
        "key": "cert.key",
        "log": "/var/log/re6stnet",
        "run": "/run/re6stnet",
        "state": "/var/lib/re6stnet",
    }


def problems(options: dict[str, Any], base: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        settings_from(options, base=base)
    return caught.value.problems


def test_relative_paths_start_at_the_base(options: dict[str, Any], tmp_path: Path) -> None:
    settings = settings_from(options, base=tmp_path)
    assert settings.ca == tmp_path / "ca.crt"
    assert settings.port == 1194
    assert isinstance(settings, Settings)


def test_port_and_counts_become_numbers(options: dict[str, Any], tmp_path: Path) -> None:
    settings = settings_from({**options, "port": "443", "client_count": "0", "verbose": "0"}, base=tmp_path)
    assert (settings.port, settings.client_count, settings.verbose) == (443, 0, 0)


def test_transports_are_those_that_were_named_else_both(options: dict[str, Any], tmp_path: Path) -> None:
    assert settings_from(options, base=tmp_path).transports == ("wireguard", "openvpn")
    limited = {**options, "transport": ["openvpn", "openvpn"]}
    assert settings_from(limited, base=tmp_path).transports == ("openvpn",)


def test_all_mistakes_are_listed_at_once(options: dict[str, Any], tmp_path: Path) -> None:
    wrong = {
        **options,
        "registry": "ftp://registry.example/",
        "ca": "missing.crt",
        "port": "70000",
        "client_count": "many",
        "ip": ["::", "nowhere"],
        "country": "Germany",
        "transport": ["openvpn", "ipsec"],
        "interface": ["lo", "a/b"],
        "state": options["run"],
    }
    found = "\n".join(problems(wrong, tmp_path))
    for word in (
        "ftp://",
        "missing.crt",
        "70000",
        "many",
        "nowhere",
        "Germany",
        "--transport 'ipsec'",
        "lo cannot",
        "a/b",
        "--run, --state",
    ):
        assert word in found
    assert "--ip ::" in found


def test_missing_options_are_named(tmp_path: Path) -> None:
    found = "\n".join(problems({}, tmp_path))
    for name in ("registry", "ca", "cert", "key"):
        assert f"--{name} is missing" in found


def test_neighbours_are_prefixes_of_nodes(options: dict[str, Any], tmp_path: Path) -> None:
    found = settings_from({**options, "neighbour": ["5/16", "0/8", "5/16"]}, base=tmp_path)
    assert found.neighbours == (Prefix(16, 5), Prefix(8, 0))
    (problem,) = problems({**options, "neighbour": ["5/16", "2001:db8::1"]}, tmp_path)
    assert "--neighbour '2001:db8::1'" in problem
