"""Our rule asks the node's own selection, and tells it what a node knows and nothing else."""

import random
from array import array
from pathlib import Path

import pytest

from netns_lab.simulate.matrix import read_delays
from netns_lab.simulate.overlay import Overlay
from netns_lab.simulate.rules import Limits, OurRule, ours
from netns_lab.simulate.rules.ours import TRIES
from netns_lab.simulate.senses import Noise, Senses
from netns_lab.simulate.simulation import Settings, Simulation
from netns_lab.simulate.traffic import OUR_DISTANCES, OUR_PROBE
from re6stnet.engine.negotiation import MAX_TUNNELS
from re6stnet.engine.scouting import ASKED, PROBES
from re6stnet.engine.selection import ASKED_HELD, MAX_SWAPS, Decision, View, decide
from tests.helpers.simulated import see, senses_of

PLANETLAB = Path(__file__).resolve().parents[4] / "netns-lab" / "data" / "planetlab490_median_ms.csv.xz"


def rtt_us(one: int, other: int) -> int:
    """All over the place."""
    return 2000 + 1000 * (one * other % 53)


def network(nodes: int, tunnels: int, accept: int = 20) -> tuple[Overlay, Senses, OurRule]:
    overlay = Overlay(nodes)
    senses = senses_of(overlay, accept=accept, measure=rtt_us)
    return overlay, senses, OurRule(senses, Limits(tunnels, accept), random.Random(2))


def look(overlay: Overlay, senses: Senses) -> None:
    see(overlay, senses, lambda a, b: OurRule.metric.cost(rtt_us(a, b)))


def test_every_node_fills_up_though_the_registry_names_few() -> None:
    overlay, senses, rule = network(60, 12)
    rule.start()
    assert {overlay.opened(node) for node in range(60)} == {12}
    assert {"ask endpoints", "bootstrap", "open"} <= set(senses.ledger.close().by_kind)


def test_a_round_probes_asks_and_swaps_and_the_count_stays() -> None:
    overlay, senses, rule = network(60, 6)
    rule.start()
    look(overlay, senses)
    rule.refresh()  # hears of more peers
    look(overlay, senses)
    senses.ledger.close()
    before = {frozenset(ends) for ends in overlay.tunnels()}
    rule.refresh()
    after = {frozenset(ends) for ends in overlay.tunnels()}
    assert {overlay.opened(node) for node in range(60)} == {6}
    assert 30 < len(after - before) <= MAX_SWAPS * 60
    sent = senses.ledger.close().by_kind
    assert 0 < sent["probe"] <= TRIES * PROBES * (OUR_PROBE.asked + OUR_PROBE.answered)
    question = OUR_DISTANCES.asked + OUR_DISTANCES.answered
    assert 0 < sent["ask distances"] <= (ASKED + ASKED_HELD) * question


def test_where_nobody_has_room_nothing_is_given_up() -> None:
    overlay, senses, rule = network(20, 5, accept=5)
    rule.start()
    look(overlay, senses)
    full = [node for node in range(20) if overlay.accepted(node) == 5]
    before = set(overlay.tunnels())
    rule.refresh()
    assert len(full) >= 18
    # Everybody keeps what it has until a newcomer works, so each lasting tunnel replaces exactly one.
    assert len(set(overlay.tunnels())) >= len(before)


def test_who_has_answered_enough_in_a_round_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "ANSWERED", 0)
    overlay, senses, rule = network(30, 4)
    rule.start()
    look(overlay, senses)
    before = set(overlay.tunnels())
    rule.refresh()
    assert set(overlay.tunnels()) == before


def test_selection_is_told_what_the_tables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    views: list[View[int]] = []

    def listening(view: View[int], *, rng: random.Random) -> Decision[int]:
        views.append(view)
        return decide(view, rng=rng)

    overlay, senses, rule = network(30, 4)
    rule.start()
    look(overlay, senses)
    monkeypatch.setattr(ours, "decide", listening)
    tunnels_before = {node: dict(overlay.peers(node)) for node in range(30)}
    rule.refresh()
    first = views[0]
    assert first.client_count == 4
    peers = {view.peer: view for view in first.tunnels}
    owner = next(node for node, held in tunnels_before.items() if held.keys() == peers.keys())
    for peer, view in peers.items():
        assert view.initiator == tunnels_before[owner][peer]
        assert view.carried == senses.carried(owner, peer)
    assert not set(first.candidates) & {owner, *peers}
    assert first.survey is not None
    assert first.survey.via.keys() <= set(map(str, peers))
    everywhere = array("i", range(30))
    assert all(
        min(senses.metrics(offer.peer, everywhere)) == 0 and offer.cost > 0 for offer in first.survey.offers
    )


def test_the_engines_limit_holds() -> None:
    assert OurRule.may_hold(MAX_TUNNELS - 1)
    assert not OurRule.may_hold(MAX_TUNNELS)


def test_ways_are_nearly_the_best_there_are_after_six_rounds() -> None:
    """A part of the PlanetLab hosts; ``benchmarks/simulator.py`` has them all, and more rounds."""
    settings = Settings(
        rule_name="ours",
        rule=OurRule,
        metric=OurRule.metric,
        limits=Limits(open=8, accept=16),
        rounds=6,
        seed=1,
        relay_us=300,
        noise=Noise(0.01, 50.0),
        sample=150,
        losses=(),
    )
    *_, last = Simulation(read_delays(PLANETLAB).only(list(range(0, 450, 3))), settings).run()
    assert last.paths.mean_ms < 1.025 * last.best.mean_ms
    assert last.paths.median_ratio_best < 1.02
    assert last.paths.p99_ratio_best < 1.3
    assert last.control.mean / OurRule.round_s < 4000
