"""The probe sees what is there, also what none of our boxes does."""

from collections.abc import Iterator

import pytest

from netns_lab.boxes.behaviour import BLOCKED_UDP, Behaviour, Depends
from netns_lab.boxes.nat_bench import Bench, Place
from netns_lab.boxes.nat_probe import Prober, lifetimes_s, measure
from re6st_core.errors import RouterError

pytestmark = pytest.mark.root

PUBLIC, BLOCKED, LINUX = range(3)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench([Place(), Place(BLOCKED_UDP), Place("masquerade", hosts=2)]) as bench:
        yield bench


@pytest.fixture
def prober(bench: Bench) -> Iterator[Prober]:
    with Prober(bench.server, bench.server_addresses) as prober:
        yield prober


def test_without_a_nat_everything_is_open(bench: Bench, prober: Prober) -> None:
    first, second = bench.hosts[PUBLIC][0], bench.hosts[LINUX][0]
    seen = measure(prober, first, second).behaviour
    assert (seen.mapping, seen.filtering, seen.preserves_port) == (Depends.NOTHING, Depends.NOTHING, True)


def test_where_udp_is_blocked_the_error_says_who_did_not_answer(bench: Bench, prober: Prober) -> None:
    host = bench.hosts[BLOCKED][0]
    with pytest.raises(RouterError, match=rf"203\.0\.113\.1:3478 does not answer {host.address}"):
        measure(prober, host, host)


def test_a_box_that_lets_early_packets_make_state_is_found_out(bench: Bench, prober: Prober) -> None:
    bench.boxes[LINUX][0].nft("flush chain ip nat_box input; add rule ip nat_box input accept")
    assert not measure(prober, *bench.hosts[LINUX]).early_peer_harmless


def test_an_address_dependent_mapping_is_told_from_the_others(bench: Bench, prober: Prober) -> None:
    """A box that translates to a port of its own for each address of the server."""
    rules = "flush chain ip nat_box out;" + "".join(
        f"add rule ip nat_box out ip daddr {address} meta l4proto udp masquerade to :{port};"
        for address, port in zip(bench.server_addresses, ("7000-7099", "7100-7199"), strict=True)
    )
    bench.boxes[LINUX][0].nft(rules)
    seen = measure(prober, *bench.hosts[LINUX]).behaviour
    assert seen == Behaviour(Depends.ADDRESS, Depends.ADDRESS_AND_PORT, preserves_port=False)


def test_a_mapping_that_outlives_the_test_is_said_to_live_as_long(bench: Bench, prober: Prober) -> None:
    [(least_s, less_than_s)] = lifetimes_s(prober, [bench.hosts[LINUX][0]], step_s=0.1, at_most_s=0.3)
    assert least_s == pytest.approx(0.3)
    assert less_than_s == pytest.approx(0.4)
