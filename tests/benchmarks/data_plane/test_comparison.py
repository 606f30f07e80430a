"""Samples become medians, differences and ratios; what failed is told."""

import random
from ipaddress import IPv6Address

import pytest

from benchmarks.data_plane.__main__ import parser
from benchmarks.data_plane.comparison import SYSTEMS, Comparison, title
from benchmarks.data_plane.other_programs import nebula_config, tinc_conf, tinc_host, yggdrasil_settings
from benchmarks.data_plane.sampling import Sample
from benchmarks.result import Figure

TARGET = IPv6Address("2001:db8::1")


def compared(rounds: list[dict[str, Sample]]) -> dict[tuple[str, str], Figure]:
    """The figures of systems measured over 1 hop, by title and name."""
    comparison = Comparison(lambda text: None)
    names = dict.fromkeys(name for found in rounds for name in found)
    comparison.targets = {(name, 1): TARGET for name in names}
    comparison.mtu = {(name, 1): 1420 for name in names}
    comparison.rounds = [{(name, 1): sample for name, sample in found.items()} for found in rounds]
    return {(each.of, each.name): each for each in comparison.figures(random.Random(1))}


def sample(mbit_s: float, rtt_ms: float = 1.0) -> Sample:
    return Sample(mbit_s, rtt_ms, hops=1, cpu_s_per_gb=8.0, rss_mb=20.0)


def test_ratio_and_added_time_are_taken_within_a_round() -> None:
    figures = compared(
        [
            {"bare": sample(9000, 0.25), "wireguard": sample(100, 0.5), "ours": sample(110, 0.75)},
            {"bare": sample(1000, 5.25), "wireguard": sample(10, 5.5), "ours": sample(11, 5.75)},
        ]
    )
    assert figures["ours, 1 hop", "of by hand"].value == 1.1
    assert figures["ours, 1 hop", "of by hand"].interval == (1.1, 1.1)
    assert figures["ours, 1 hop", "added RTT"].value == 0.5
    assert figures["ours, 1 hop", "TCP"].value == 60.5
    assert figures["ours, 1 hop", "TCP"].interval == (11, 110)
    assert figures["bare cable, 1 hop", "RTT"].value == 2.75
    assert ("bare cable, 1 hop", "CPU") not in figures


def test_a_round_in_which_one_failed_counts_for_the_others() -> None:
    figures = compared([{"bare": sample(9000), "tinc": sample(100)}, {"bare": sample(7000)}])
    assert figures["tinc, 1 hop", "TCP"].value == 100
    assert figures["bare cable, 1 hop", "TCP"].value == 8000


def test_what_was_never_measured_has_no_value() -> None:
    comparison = Comparison(lambda text: None)
    comparison.targets, comparison.mtu = {("tinc", 2): TARGET}, {("tinc", 2): 1500}
    values = {each.name: each.value for each in comparison.figures(random.Random(1))}
    assert (values["TCP"], values["MTU"]) == (None, 1500)


def test_what_could_not_be_started_has_no_value() -> None:
    comparison = Comparison(lambda text: None)
    comparison.failures = {"tinc": "no such program"}
    assert [(each.of, each.value) for each in comparison.figures(random.Random(1))] == [("tinc", None)]


def test_every_system_has_a_title_of_its_own() -> None:
    assert len({system.title for system in SYSTEMS.values()}) == len(SYSTEMS)
    assert title(("tinc", 1)) == "tinc, 1 hop"
    assert title(("tinc", 3)) == "tinc, 3 hops"


@pytest.mark.parametrize("words", [["--hops", "4"], ["--system", "carrier pigeon"], ["--rounds", "many"]])
def test_what_cannot_be_measured_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(words)


def test_other_programs_know_their_neighbours_only() -> None:
    assert "ConnectTo = m1\n" in tinc_conf(0)
    assert "ConnectTo" not in tinc_conf(3)
    assert tinc_host(1).startswith("Address = 192.0.2.2\nSubnet = 2001:db8:2::2/128\n")
    assert yggdrasil_settings(3)["Peers"] == []
    assert yggdrasil_settings(0)["Peers"] == ["tcp://192.0.2.2:9001"]
    assert yggdrasil_settings(0)["MulticastInterfaces"] == []


def test_nebula_has_one_relay_which_all_others_use(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp()
    relay, host = nebula_config(1, path, path), nebula_config(2, path, path)
    assert relay["relay"] == {"am_relay": True, "use_relays": True, "relays": []}
    assert host["relay"] == {"am_relay": False, "use_relays": True, "relays": ["198.51.100.2"]}
    assert host["static_host_map"] == {"198.51.100.2": ["192.0.2.2:4242"]}
