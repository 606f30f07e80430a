"""A whole simulation: small, repeatable, and honest in what it lets nodes know."""

from array import array
from dataclasses import replace

import pytest

from netns_lab.simulate.connectivity import Loss
from netns_lab.simulate.delays import Delays
from netns_lab.simulate.rules import RULES, Limits
from netns_lab.simulate.senses import Noise
from netns_lab.simulate.simulation import Round, Settings, Simulation
from netns_lab.simulate.synthetic import synthetic_world

WORLD = synthetic_world(80, 3)


def settings(rule: str = "ours") -> Settings:
    return Settings(
        rule_name=rule,
        rule=RULES[rule],
        metric=RULES[rule].metric,
        limits=Limits(4, 8),
        rounds=6,
        seed=1,
        relay_us=300,
        noise=Noise(0.01, 50.0),
        sample=80,
        losses=(Loss("random", 30), Loss("targeted", 10)),
    )


def run(delays: Delays, wanted: Settings) -> list[Round]:
    return list(Simulation(delays, wanted).run())


@pytest.mark.parametrize("rule", sorted(RULES))
def test_paths_get_shorter_and_never_beat_the_bound(rule: str) -> None:
    rounds = run(WORLD, settings(rule))
    assert [one.number for one in rounds] == list(range(7))
    assert rounds[-1].paths.mean_ms < rounds[0].paths.mean_ms
    for one in rounds:
        assert one.paths.median_ratio_best >= 1
        assert one.paths.mean_ms >= one.best.mean_ms
        assert one.paths.reachable == one.largest == 1
        assert one.components == 1
        assert one.degree.max <= 4 + 8
        assert [str(loss.loss) for loss in one.losses] == ["random:30", "targeted:10"]
        assert all(0.5 < loss.largest <= 1 for loss in one.losses)
        assert one.control.most >= one.control.mean > 0
        assert one.routing_bytes > 0


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_seed_gives_one_result(rule: str) -> None:
    assert run(WORLD, settings(rule)) == run(WORLD, settings(rule))
    assert run(WORLD, settings(rule)) != run(WORLD, replace(settings(rule), seed=2))


def test_a_sample_changes_what_is_compared_and_not_what_happens() -> None:
    whole, sampled = run(WORLD, settings()), run(WORLD, replace(settings(), sample=20))
    assert [one.degree for one in whole] == [one.degree for one in sampled]
    assert [one.control for one in whole] == [one.control for one in sampled]
    assert whole[-1].paths.mean_ms == pytest.approx(sampled[-1].paths.mean_ms, rel=0.2)
    assert whole[-1].paths != sampled[-1].paths


def test_each_round_has_the_next_slice() -> None:
    near = array("i", (0 if a == b else 10_000 for a in range(12) for b in range(12)))
    far = array("i", (us * 10 for us in near))
    rounds = run(Delays("d", 12, (near, far)), replace(settings(), sample=12, rounds=3))
    assert [one.direct.mean_ms for one in rounds] == [10, 100, 10, 100]
    assert rounds[1].paths.mean_ms > 3 * rounds[0].paths.mean_ms


def test_what_is_measured_is_noisy_and_what_is_reported_is_true() -> None:
    """With one tunnel between two nodes, noise cannot change the path: the figures are exact."""
    two = Delays("d", 2, (array("i", [0, 50_000, 50_000, 0]),))
    rounds = run(two, replace(settings(), sample=2, noise=Noise(0.3, 5000.0), losses=()))
    assert {one.paths.mean_ms for one in rounds} == {50.0}
