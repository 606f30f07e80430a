"""A node learns what it could know: its own tunnels now, routes and RTT of the round before, with noise."""

import random
from array import array

import pytest

from netns_lab.simulate.overlay import Overlay
from netns_lab.simulate.senses import Noise, Senses, Table
from netns_lab.simulate.traffic import Exchange

PRICE = Exchange("any", 100, 60)


def chain(accept: int = 9) -> tuple[Overlay, Senses]:
    """0 - 1 - 2, and 3 alone."""
    overlay = Overlay(4)
    overlay.open(0, 1)
    overlay.open(1, 2)
    senses = Senses(overlay, may_accept=lambda node: overlay.accepted(node) < accept, rng=random.Random(1))
    return overlay, senses


def see(overlay: Overlay, senses: Senses) -> None:
    arcs = overlay.arcs()
    numbers = range(len(arcs.to))
    senses.see(Table(arcs, array("i", (1000 + k for k in numbers)), array("i", numbers)))


def test_before_babel_has_spoken_nothing_is_routed() -> None:
    _overlay, senses = chain()
    assert not senses.is_routed(0, 1)
    assert senses.rtt_us(0, 1) is None
    assert senses.carried(0, 1) == 0
    senses.settle()
    assert senses.is_routed(0, 2)
    assert not senses.is_routed(0, 3)


def test_tables_are_those_of_the_last_round() -> None:
    overlay, senses = chain()
    see(overlay, senses)
    overlay.open(2, 3)
    overlay.close(0, 1)
    assert (senses.rtt_us(1, 0), senses.carried(1, 2)) == (1001, 2)
    assert senses.rtt_us(2, 3) is None
    assert senses.is_routed(0, 2)
    assert not senses.is_routed(2, 3)
    assert senses.tunnels(2) == {1: False, 3: True}


def test_one_other_tunnel_makes_a_tunnel_expendable_in_the_table() -> None:
    overlay, senses = chain()
    see(overlay, senses)
    assert senses.is_expendable(1, 0)
    assert not senses.is_expendable(2, 1)


def test_questions_go_over_routes_and_are_paid_at_both_ends() -> None:
    overlay, senses = chain()
    see(overlay, senses)
    senses.ask(0, 2, PRICE)
    with pytest.raises(ValueError, match="no route"):
        senses.ask(0, 3, PRICE)
    assert senses.ledger.close().by_kind == {"any": 160 / 4}
    assert set(senses.some_routed(0, 8)) == {1, 2}


def test_the_registry_names_others() -> None:
    _overlay, senses = chain()
    assert sorted(senses.ask_registry(1, 8, PRICE)) == [0, 2, 3]
    assert len(senses.ask_registry(1, 2, PRICE)) == 2
    assert senses.ledger.close().by_kind == {"any": 200 / 4}


def test_a_full_peer_refuses_and_that_costs_too() -> None:
    overlay, senses = chain(accept=1)
    refused = Exchange("refused", 50, 10)
    assert not senses.open(3, 2, opened=PRICE, refused=refused)
    assert not senses.open(1, 0, opened=PRICE, refused=refused)
    assert senses.open(3, 0, opened=PRICE, refused=refused)
    assert overlay.peers(0) == {1: True, 3: False}
    senses.close(3, 0, PRICE)
    assert 3 not in overlay.peers(0)
    assert senses.ledger.close().by_kind == {"any": 320 / 4, "refused": 120 / 4}


def test_measurements_err_by_about_what_is_said() -> None:
    rng = random.Random(1)
    measured = [Noise(0.1, 0).measure(100_000, rng) for _ in range(2000)]
    assert sum(measured) / 2000 == pytest.approx(100_000, rel=0.01)
    assert sum(90_000 < us < 110_000 for us in measured) / 2000 == pytest.approx(0.68, abs=0.05)
    queued = [Noise(0, 500).measure(100_000, rng) for _ in range(2000)]
    assert min(queued) >= 100_000
    assert sum(queued) / 2000 == pytest.approx(100_500, abs=50)
    assert Noise(0, 0).measure(7, rng) == 7
