"""Tunnels have two ends, one initiator, and become two arcs that know each other."""

import pytest
from hypothesis import given

from netns_lab.simulate.overlay import Overlay
from tests.netns_lab.simulate.test_paths_model import overlays


def test_a_tunnel_counts_at_both_ends() -> None:
    overlay = Overlay(3)
    overlay.open(0, 1)
    overlay.open(2, 1)
    assert overlay.peers(1) == {0: False, 2: False}
    assert (overlay.opened(0), overlay.accepted(0), overlay.accepted(1)) == (1, 0, 2)
    assert list(overlay.tunnels()) == [(0, 1), (2, 1)]
    overlay.close(0, 1)
    assert overlay.peers(0) == {}
    assert overlay.accepted(1) == 1


def test_there_is_no_second_tunnel_between_two_nodes() -> None:
    overlay = Overlay(2)
    overlay.open(0, 1)
    for a, b in [(0, 1), (1, 0), (1, 1)]:
        with pytest.raises(ValueError, match="no second tunnel"):
            overlay.open(a, b)


def test_only_the_initiator_closes() -> None:
    overlay = Overlay(2)
    overlay.open(0, 1)
    with pytest.raises(KeyError):
        overlay.close(1, 0)


@given(overlays())
def test_each_arc_has_its_way_back(overlay: Overlay) -> None:
    arcs = overlay.arcs()
    assert arcs.nodes == overlay.nodes
    assert len(arcs.to) == 2 * len(list(overlay.tunnels()))
    for node in range(overlay.nodes):
        assert [arcs.to[arc] for arc in arcs.of(node)] == sorted(overlay.peers(node))
        for arc in arcs.of(node):
            assert arcs.owner[arc] == node
            assert arcs.to[arcs.back[arc]] == node
            assert arcs.owner[arcs.back[arc]] == arcs.to[arc]
            assert arcs.back[arcs.back[arc]] == arc
