"""Our rule asks the node's own selection, and tells it what a node knows and nothing else."""

import random
from array import array

import pytest

from netns_lab.simulate.overlay import Overlay
from netns_lab.simulate.rules import Limits, OurRule, ours
from netns_lab.simulate.senses import Senses, Table
from re6stnet.engine.negotiation import MAX_TUNNELS
from re6stnet.engine.selection import Decision, View, decide


def network(nodes: int, tunnels: int, accept: int = 20) -> tuple[Overlay, Senses, OurRule]:
    overlay = Overlay(nodes)
    senses = Senses(overlay, may_accept=lambda node: overlay.accepted(node) < accept, rng=random.Random(1))
    return overlay, senses, OurRule(senses, Limits(tunnels, accept), random.Random(2))


def see(overlay: Overlay, senses: Senses) -> None:
    arcs = overlay.arcs()
    senses.see(
        Table(
            arcs,
            array("i", (us + 1000 for us in range(len(arcs.to)))),
            array("i", (to % 7 for to in arcs.to)),
        )
    )


def test_every_node_fills_up_though_the_registry_names_few() -> None:
    overlay, senses, rule = network(60, 12)
    rule.start()
    assert {overlay.opened(node) for node in range(60)} == {12}
    assert {"ask endpoints", "bootstrap", "open"} <= set(senses.ledger.close().by_kind)


def test_one_tunnel_is_swapped_each_round_and_the_count_stays() -> None:
    overlay, senses, rule = network(60, 6)
    rule.start()
    see(overlay, senses)
    before = {frozenset(ends) for ends in overlay.tunnels()}
    rule.refresh()
    after = {frozenset(ends) for ends in overlay.tunnels()}
    assert {overlay.opened(node) for node in range(60)} == {6}
    assert 30 < len(after - before) <= 60


def test_where_nobody_has_room_nothing_is_given_up() -> None:
    overlay, senses, rule = network(20, 5, accept=5)
    rule.start()
    see(overlay, senses)
    full = [node for node in range(20) if overlay.accepted(node) == 5]
    before = set(overlay.tunnels())
    rule.refresh()
    assert len(full) >= 18
    # Everybody keeps what it has until a newcomer works, so each lasting tunnel replaces exactly one.
    assert len(set(overlay.tunnels())) >= len(before)


def test_selection_is_told_what_the_tables_say(monkeypatch: pytest.MonkeyPatch) -> None:
    views: list[View] = []

    def listening(view: View, *, rng: random.Random) -> Decision:
        views.append(view)
        return decide(view, rng=rng)

    overlay, senses, rule = network(30, 4)
    rule.start()
    see(overlay, senses)
    monkeypatch.setattr(ours, "decide", listening)
    tunnels_before = {node: dict(overlay.peers(node)) for node in range(30)}
    rule.refresh()
    first = views[0]
    assert first.refresh_due
    assert first.client_count == 4
    peers = {view.peer.value: view for view in first.tunnels}
    owner = next(node for node, held in tunnels_before.items() if held.keys() == peers.keys())
    for peer, view in peers.items():
        assert view.initiator == tunnels_before[owner][peer]
        assert view.carried == senses.carried(owner, peer)
        assert view.rtt_us == senses.rtt_us(owner, peer)
    assert not {candidate.value for candidate in first.candidates} & {owner, *peers}


def test_the_engines_limit_holds() -> None:
    assert OurRule.may_hold(MAX_TUNNELS - 1)
    assert not OurRule.may_hold(MAX_TUNNELS)
