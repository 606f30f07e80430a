"""babeld is started with re6st's rules, and with nothing that it would refuse."""

import asyncio
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from babel_ctl.client import BabelClient
from babel_ctl.config import LAN, PLACEHOLDER_INTERFACE, BabeldConfig, InterfaceParameters, key_statement
from babel_ctl.process import DetachedProcess
from re6st_core.errors import ConfigError
from tests.helpers.namespace_tests import connect, namespaces

CONFIG = BabeldConfig(
    control_socket=Path("/run/re6st/babeld.sock"),
    state_file=Path("/var/lib/re6st/babeld.state"),
    log_file=Path("/var/log/re6st/babeld.log"),
    network=IPv6Network("2001:db8:42::/48"),
    subnet=IPv6Network("2001:db8:42:7::/64"),
    address=IPv6Address("2001:db8:42:7::1"),
)


def test_only_the_own_subnet_is_announced_and_only_the_network_accepted() -> None:
    assert CONFIG.configuration() == (
        "redistribute proto 42 deny",
        "redistribute local deny",
        "redistribute ip 2001:db8:42:7::/64 eq 64",
        "redistribute deny",
        "in ip 2001:db8:42::/48 ge 48 src-ip ::/0 src-eq 0 allow",
        "in deny",
        "install pref-src 2001:db8:42:7::1",
    )


def test_a_tunnels_metric_follows_its_delay() -> None:
    assert InterfaceParameters().statement("t0") == (
        "interface t0 type tunnel rxcost 16 rtt-min 1 rtt-max 500 max-rtt-penalty 5000 rtt-decay 85 "
        "link-quality true"
    )


def test_a_lan_has_babelds_own_parameters_and_options_become_keywords() -> None:
    assert LAN.statement("eth0") == "interface eth0 type auto"
    parameters = replace(LAN, hello_interval_s=0.5, split_horizon=False, link_quality=True)
    assert str(parameters) == "type auto hello-interval 0.5 split-horizon false link-quality true"


def test_a_key_is_named_by_interfaces_and_defined_by_a_statement_of_its_own() -> None:
    assert InterfaceParameters(key="re6st").statement("t0").endswith(" key re6st")
    assert key_statement("re6st", bytes(range(32))) == (
        f"key id re6st type hmac-sha256 value {bytes(range(32)).hex()}"
    )


@pytest.mark.parametrize(
    ("name", "secret"),
    [("", bytes(32)), ("a b", bytes(32)), ("k", bytes(15)), ("k", bytes(65)), ("é", bytes(32))],
)
def test_what_is_no_key_is_refused_without_a_word_of_the_secret(name: str, secret: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        key_statement(name, secret)
    assert secret.hex() not in str(caught.value)


def test_the_command_line_is_complete() -> None:
    config = replace(CONFIG, router_id="02:00:00:00:00:00:00:01", statements=("out deny",), port=6697,
                     interfaces=(("eth0", LAN),))  # fmt: skip
    argv = config.argv()
    options = dict(zip(argv[1::2], argv[2::2], strict=False))
    assert argv[0] == "babeld"
    assert options["-h"] == "4"
    assert ("-I", "") in pairwise(argv)
    assert ("-m", "ff02::1:6") in pairwise(argv)
    assert ("-p", "6697") in pairwise(argv)
    statements = [value for flag, value in pairwise(argv) if flag == "-C"]
    assert statements[0] == "router-id 02:00:00:00:00:00:00:01"
    assert statements[-2:] == ["out deny", "interface eth0 type auto"]
    assert argv[-2:] == ("-c", "/dev/null")


@pytest.mark.parametrize(
    "change", [{"rxcost": 0}, {"rtt_min_ms": 0}, {"rtt_decay": 257}, {"hello_interval_s": 656}]
)
def test_parameters_that_babeld_refuses_are_refused_before(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is not above 0 and at most"):
        InterfaceParameters(**change)


def test_without_interfaces_there_is_one_that_never_exists() -> None:
    assert CONFIG.argv()[-1] == PLACEHOLDER_INTERFACE


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        replace(CONFIG, subnet=IPv6Network("2001:db8:43::/64"), hello_interval_s=0, log_file=Path("log"),
                statements=("a\nb",))  # fmt: skip
    assert len(caught.value.problems) == 5


@pytest.mark.parametrize("name", ["", "a" * 16, "a b", "a/b", 'a"', "é", "#a"])
def test_what_is_no_interface_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        InterfaceParameters().statement(name)


async def test_the_real_babeld_understands_every_statement() -> None:
    """It reads its arguments in order: when it comes to -V, it has taken all the others."""
    all_set = InterfaceParameters(
        hello_interval_s=1.5, update_interval_s=6, split_horizon=True, link_quality=False
    )
    config = replace(
        CONFIG, router_id="02:00:00:00:00:00:00:01", interfaces=(("eth9", all_set), ("eth8", LAN))
    )
    assert (await _stderr(*config.argv(), "-V")).startswith("babeld-1.")
    assert "Couldn't parse" in await _stderr(*config.argv(), "-C", "no such statement", "-V")


@pytest.mark.root
async def test_a_neighbour_cannot_take_what_is_outside_the_network(tmp_path: Path) -> None:
    """A default route, a host of the Internet, IPv4, a route for one source only: none gets in."""
    announced = ["::/0", "2001:db8:99::7/128", "198.51.100.0/24", "2001:db8::/32", "2001:db8:42:2::/64"]
    with namespaces(2) as [node, neighbour]:
        for namespace in (node, neighbour):
            namespace.run("sysctl -qw net.ipv6.conf.default.accept_dad=0")
        connect(node, neighbour)
        for prefix in announced:
            neighbour.run(f"ip route add unreachable {prefix} proto static")
        neighbour.run("ip route add unreachable 2001:db8:42:3::/64 proto 77")
        with neighbour.entered():
            other = DetachedProcess.spawn(
                ("babeld", "-H", "0.2", "-s", "-I", "", "-S", str(tmp_path / "other"),
                 "-C", "redistribute local deny", "-C", "redistribute proto 4 allow",
                 "-C", "redistribute proto 77 src-prefix 2001:db8:42:7::/64",
                 "-C", "redistribute proto 78 allow", "-C", "redistribute deny",
                 "-C", InterfaceParameters().statement("wire"), "-c", "/dev/null"),
                log=tmp_path / "other.log",
            )  # fmt: skip
        with node.entered():
            config = replace(
                CONFIG, control_socket=tmp_path / "socket", state_file=tmp_path / "state",
                log_file=tmp_path / "log", hello_interval_s=0.2,
                interfaces=(("wire", InterfaceParameters()),),
            )  # fmt: skip
            node.run("ip addr add 2001:db8:42:7::1/128 dev lo")
            babeld = DetachedProcess.spawn(config.argv(), log=config.log_file)
            client = await BabelClient.connect(config.control_socket)
            try:
                await _route_to(client, "2001:db8:42:2::/64")
                # What comes later comes after everything that was announced at first.
                neighbour.run("ip route add unreachable 2001:db8:42:4::/64 proto 78")
                await _route_to(client, "2001:db8:42:4::/64")
                wanted = {"2001:db8:42:2::/64", "2001:db8:42:4::/64"}
                assert {str(route.prefix) for route in client.routes()} == wanted
                lines = node.run("ip -6 route show proto babel").splitlines()
                assert {line.split()[0] for line in lines} == wanted
                assert node.run("ip -4 route show proto babel") == ""
            finally:
                client.close()
                await babeld.stop()
                await other.stop()


async def _route_to(client: BabelClient, prefix: str) -> None:
    async with asyncio.timeout(20):
        while IPv6Network(prefix) not in client.best_routes():
            await client.wait_delta()


async def _stderr(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(*argv, stderr=-1, stdout=-1)
    return (await process.communicate())[1].decode()
