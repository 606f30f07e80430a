"""What hangs together, and what is left when nodes are lost."""

import random

import pytest

from netns_lab.simulate.connectivity import Loss, components, lost_nodes, parse_losses, parts
from netns_lab.simulate.overlay import Overlay
from re6st_core.errors import ConfigError


def star_and_pair() -> Overlay:
    """Node 0 with 1, 2, 3, 4; 5 with 6; 7 alone."""
    overlay = Overlay(8)
    for a, b in [(0, 1), (0, 2), (3, 0), (4, 0), (5, 6)]:
        overlay.open(a, b)
    return overlay


def test_parts_are_counted_by_size() -> None:
    assert components(star_and_pair()) == [5, 2, 1]
    assert list(parts(star_and_pair())) == [0, 0, 0, 0, 0, 1, 1, 2]


def test_without_its_centre_a_star_falls_apart() -> None:
    assert components(star_and_pair(), [0]) == [2, 1, 1, 1, 1, 1]
    assert parts(star_and_pair(), [0])[0] == -1


def test_targeted_loss_takes_those_with_the_most_tunnels() -> None:
    assert lost_nodes(star_and_pair(), Loss("targeted", 12), random.Random(1)) == [0]
    lost = lost_nodes(star_and_pair(), Loss("random", 50), random.Random(1))
    assert len(set(lost)) == 4


def test_losses_are_read_and_every_mistake_is_named() -> None:
    assert parse_losses("random:30,targeted:10") == (Loss("random", 30), Loss("targeted", 10))
    assert parse_losses("") == ()
    with pytest.raises(ConfigError) as caught:
        parse_losses("random:0,some:5,targeted:x,random:20")
    assert len(caught.value.problems) == 3
