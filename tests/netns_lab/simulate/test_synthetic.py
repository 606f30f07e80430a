"""Synthetic worlds: the same by seed, and with delays as between real hosts."""

from array import array

import pytest

from netns_lab.simulate.figures import Reference
from netns_lab.simulate.synthetic import synthetic_world


def test_a_seed_gives_one_world() -> None:
    assert synthetic_world(50, 1) == synthetic_world(50, 1)
    assert synthetic_world(50, 1) != synthetic_world(50, 2)


def test_relays_gain_about_what_they_gain_between_planetlab_hosts() -> None:
    world = synthetic_world(490, 1)
    reference = Reference.of(world.underlays()[0], range(490), 0)
    assert reference.best.mean_ms / reference.direct.mean_ms == pytest.approx(0.858, abs=0.02)
    gains = array(
        "d", ((a - b) / a for a, b in zip(reference.direct_us, reference.best_us, strict=True) if a)
    )
    assert sum(gain > 0.2 for gain in gains) / len(gains) == pytest.approx(0.2, abs=0.03)
    assert reference.direct.mean_ms == pytest.approx(145, abs=10)
