"""re6st's rule, and the proof that it is re6st's: known figures on the PlanetLab matrix."""

import random
from pathlib import Path

import pytest

from netns_lab.simulate.matrix import read_delays
from netns_lab.simulate.metric import RE6ST
from netns_lab.simulate.overlay import Overlay
from netns_lab.simulate.rules import Limits, Re6stRule
from netns_lab.simulate.senses import Noise, Senses
from netns_lab.simulate.simulation import Settings, Simulation
from tests.helpers.simulated import see, senses_of

PLANETLAB = Path(__file__).resolve().parents[4] / "netns-lab" / "data" / "planetlab490_median_ms.csv.xz"


def test_with_re6sts_metric_and_free_forwarding_rtt_falls_as_it_is_known_to() -> None:
    """149 ms after 12 refreshes and 142 ms after 24, by 3 ms at most."""
    settings = Settings(
        rule_name="re6st",
        rule=Re6stRule,
        metric=RE6ST,
        limits=Limits(open=10, accept=20),
        rounds=24,
        seed=1,
        relay_us=0,
        noise=Noise(0, 0),
        sample=490,
        losses=(),
    )
    rounds = list(Simulation(read_delays(PLANETLAB), settings).run())
    assert rounds[0].direct.mean_ms == pytest.approx(145.1, abs=0.05)
    assert rounds[0].best.mean_ms == pytest.approx(124.5, abs=0.05)
    assert rounds[12].paths.mean_ms == pytest.approx(149, abs=3)
    assert rounds[24].paths.mean_ms == pytest.approx(142, abs=3)


def network(nodes: int, tunnels: int, accept: int = 20) -> tuple[Overlay, Senses, Re6stRule]:
    overlay = Overlay(nodes)
    senses = senses_of(overlay, accept=accept)
    return overlay, senses, Re6stRule(senses, Limits(tunnels, accept), random.Random(2))


def test_every_node_opens_its_tunnels_and_nobody_accepts_too_many() -> None:
    overlay, _senses, rule = network(60, 5, accept=6)
    rule.start()
    assert {overlay.opened(node) for node in range(60)} == {5}
    assert max(overlay.accepted(node) for node in range(60)) <= 6


def test_the_tunnel_that_carries_least_makes_room_for_another_peer() -> None:
    overlay, senses, rule = network(60, 8)
    rule.start()
    before = {node: [p for p, own in overlay.peers(node).items() if own] for node in range(60)}
    least = {node: peers[1] for node, peers in before.items()}
    see(overlay, senses, carried=dict.fromkeys(least.items(), 1))
    senses.ledger.close()
    rule.refresh()
    for node, peers in before.items():
        after = {p for p, own in overlay.peers(node).items() if own}
        assert after.issuperset(set(peers) - {least[node]})
        assert len(after) == 8
    assert {"ask endpoints", "close", "open"} <= set(senses.ledger.close().by_kind)


def test_who_is_cut_off_comes_back_through_the_registry() -> None:
    overlay, senses, rule = network(10, 1)
    rule.start()
    see(overlay, senses, carried={})
    for _ in range(20):
        rule.refresh()
        senses.settle()
    assert sum(senses.is_routed(0, node) for node in range(10)) >= 5
    assert all(overlay.opened(node) <= 1 for node in range(10))


def test_who_has_never_been_connected_to_holds_two_tunnels() -> None:
    shy = Overlay(30)
    for node in range(30):
        if node not in (6, 7):
            shy.open(node, node + 1 if node < 29 else 0)
    for peer in (1, 2, 3):
        shy.open(7, peer)
    senses = Senses(shy, may_accept=lambda node: node != 7, measure=lambda _a, _b: 1000, rng=random.Random(1))
    rule = Re6stRule(senses, Limits(5, 20), random.Random(2))
    for _ in range(2):
        see(shy, senses, carried={})
        rule.refresh()
    assert shy.opened(7) == 2
