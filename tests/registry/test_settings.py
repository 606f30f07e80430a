"""The settings file: what init writes is read back, and all mistakes are told at once."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from re6st_core.errors import ConfigError
from re6st_core.netparams import NetworkParameters
from registry.settings import Settings, check_settings, format_settings, parse_settings
from tests.helpers.registry import NETWORK

GOOD = Settings(network=NETWORK, hosts=("203.0.113.1",))
PARAMETERS = st.builds(
    NetworkParameters,
    version=st.just(1),
    hello_s=st.floats(0.1, 300),
    client_count=st.integers(0, 40),
    max_clients=st.integers(0, 40),
    same_country=st.lists(st.sampled_from(["FR", "DE", "JP"]), unique=True).map(tuple),
)
SETTINGS = st.builds(
    Settings,
    network=st.just(NETWORK),
    hosts=st.lists(st.sampled_from(["a.example", "192.0.2.1", "2001:db8::1"]), min_size=1).map(tuple),
    port=st.integers(1, 65534).filter(lambda port: port != 443),
    prefix_length=st.integers(1, 80),
    anonymous_prefix_length=st.integers(0, 80),
    parameters=PARAMETERS,
)


@given(SETTINGS)
def test_what_is_written_is_read_back(settings: Settings) -> None:
    assert parse_settings(format_settings(settings)) == settings


@pytest.mark.parametrize(
    ("host", "port", "url", "https"),
    [
        ("203.0.113.1", 80, "http://203.0.113.1/", 443),
        ("registry.example", 8080, "http://registry.example:8080/", 8081),
        ("2001:db8::1", 80, "http://[2001:db8::1]/", 443),
    ],
)
def test_url_and_ports(host: str, port: int, url: str, https: int) -> None:
    settings = replace(GOOD, hosts=(host,), port=port)
    assert (settings.url, settings.https_port) == (url, https)


def test_all_mistakes_are_told_at_once() -> None:
    text = """
        network = "2001:db8:42::/48"
        hosts = ["not a host"]
        port = 65535
        prefix_length = 81
        colour = "blue"
        [parameters]
        hello_s = 0.0
        speed = 3
        version = 7
    """
    with pytest.raises(ConfigError) as caught:
        parse_settings(text)
    told = "\n".join(caught.value.problems)
    for mistake in (
        "'not a host'",
        "port = 65535",
        "prefix_length = 81",
        "'colour'",
        "hello_s",
        "'speed'",
        "'version'",
    ):
        assert mistake in told


@pytest.mark.parametrize(
    "text",
    [
        "",
        "=",
        'network = "2001:db8:42::/48"',
        'network = 7\nhosts = ["a"]',
        'network = "2001:db8:42::1/48"\nhosts = ["a"]',
        'network = "2001:db8:42::/48"\nhosts = []',
        'network = "2001:db8:42::/48"\nhosts = ["a"]\nparameters = 7',
        'network = "2001:db8:42::/48"\nhosts = ["a"]\nport = "80"',
        'network = "2001:db8:42::/48"\nhosts = ["a"]\nport = 443',
    ],
)
def test_wrong_files_are_the_known_error(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_settings(text)


def test_good_settings_are_returned() -> None:
    assert check_settings(GOOD) is GOOD
