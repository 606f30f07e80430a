"""A node learns what it could know: its own tunnels now, routes and RTT of the round before, with noise."""

import random
from array import array

import pytest

from netns_lab.simulate.overlay import Overlay
from netns_lab.simulate.senses import Noise, Senses
from netns_lab.simulate.traffic import Exchange
from tests.helpers.simulated import see, senses_of

PRICE = Exchange("any", 100, 60)


def chain(accept: int = 9) -> tuple[Overlay, Senses]:
    """0 - 1 - 2, and 3 alone."""
    overlay = Overlay(4)
    overlay.open(0, 1)
    overlay.open(1, 2)
    return overlay, senses_of(overlay, accept=accept, measure=lambda a, b: 100 * a + b)


def look(overlay: Overlay, senses: Senses) -> None:
    """Babel settles; each tunnel costs 10, and 1 for each step of its owner's number."""
    see(overlay, senses, lambda owner, _to: 10 + owner)


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
    look(overlay, senses)
    overlay.open(2, 3)
    overlay.close(0, 1)
    assert (senses.rtt_us(1, 0), senses.carried(1, 2)) == (11, 1)
    assert senses.rtt_us(2, 3) is None
    assert senses.is_routed(0, 2)
    assert not senses.is_routed(2, 3)
    assert senses.tunnels(2) == {1: False, 3: True}


def test_one_other_tunnel_makes_a_tunnel_expendable_in_the_table() -> None:
    overlay, senses = chain()
    look(overlay, senses)
    assert senses.is_expendable(1, 0)
    assert not senses.is_expendable(2, 1)


def test_questions_go_over_routes_and_are_paid_at_both_ends() -> None:
    overlay, senses = chain()
    look(overlay, senses)
    senses.ask(0, 2, PRICE)
    with pytest.raises(ValueError, match="no route"):
        senses.ask(0, 3, PRICE)
    assert senses.ledger.close().by_kind == {"any": 160 / 4}
    assert set(senses.some_routed(0, 8)) == {1, 2}


def test_a_probe_measures_the_underlay_and_is_paid() -> None:
    _overlay, senses = chain()
    assert senses.probe(2, 3, PRICE) == 203
    assert senses.ledger.close().by_kind == {"any": 160 / 4}


def test_metrics_are_those_of_babels_tables() -> None:
    overlay, senses = chain()
    overlay.open(0, 2)
    look(overlay, senses)
    everywhere = array("i", range(4))
    assert list(senses.metrics(0, everywhere)) == [0, 10, 10, 65535]
    assert {peer: list(row) for peer, row in senses.metrics_via(0, everywhere).items()} == {
        1: [21, 10, 21, 65535],
        2: [22, 22, 10, 65535],
    }


def test_a_peer_leaves_out_what_it_reaches_through_the_asker() -> None:
    """Not more: it cannot know that 2, which announces 0 to it, reaches that through itself."""
    overlay, senses = chain()
    look(overlay, senses)
    everywhere = array("i", range(4))
    assert list(senses.ask_metrics(0, 1, everywhere, PRICE)) == [11 + 23, 0, 11, 65535]
    assert list(senses.ask_metrics(0, 2, everywhere, PRICE)) == [23, 12, 0, 65535]
    assert list(senses.ask_metrics(1, 0, everywhere, PRICE)) == [0, 65535, 65535, 65535]
    with pytest.raises(ValueError, match="no route"):
        senses.ask_metrics(0, 3, everywhere, PRICE)


def test_a_full_peer_says_so() -> None:
    _overlay, senses = chain(accept=1)
    assert (senses.has_room(0), senses.has_room(1)) == (True, False)


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
