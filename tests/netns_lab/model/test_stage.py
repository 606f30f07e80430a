"""What stories work with: worlds drawn from seeds, outages measured, figures judged."""

import pytest

from netns_lab.boxes.behaviour import BOXES
from netns_lab.model.stage import Figure, Outages, Stage


def small(seed: int = 1, nodes: int = 8) -> Stage:
    stage = Stage("test", seed, nodes)
    stage.populate()
    return stage


@pytest.mark.parametrize("seed", range(4))
def test_a_population_has_the_wanted_size_and_somebody_who_can_be_reached(seed: int) -> None:
    stage = small(seed, 20)
    hosts = [n.host for n in stage.mesh.nodes]
    assert len(hosts) == 20
    assert sum(h.realm.gateway is None and h.firewall.udp for h in hosts) >= 3
    assert any(h.realm.gateway is not None for h in hosts)


def test_seeds_differ_and_repeat() -> None:
    def kinds(seed: int) -> list[str]:
        return [n.host.realm.name for n in small(seed, 20).mesh.nodes]

    assert kinds(1) == kinds(1)
    assert kinds(1) != kinds(2)


@pytest.mark.parametrize("kind", BOXES)
def test_a_home_has_the_boxes_of_its_kind(kind: str) -> None:
    stage = Stage("test", 1, 8)
    realm, depth = stage.home(kind), 0
    while realm.outer is not None:
        realm, depth = realm.outer, depth + 1
    assert depth == len(BOXES[kind])


def test_outages_are_as_long_as_they_last() -> None:
    outages = Outages()
    outages.see({(1, 2)}, 10.0)
    outages.see({(1, 2), (3, 4)}, 11.0)
    outages.see({(3, 4)}, 13.0)
    assert outages.longest_s == 3.0
    assert outages.end(13.5) == 3.0
    assert outages.end(20.0) == 9.0


def test_a_figure_within_its_bounds_is_met() -> None:
    assert Figure(5.0, "s", at_most=5).met
    assert not Figure(5.1, "s", at_most=5).met
    assert not Figure(None, "s", at_most=5).met
    assert not Figure(1.0, "", at_least=2).met
    assert Figure(None, "s").met
    assert Figure(1.0, "s", at_most=5, at_least=1).bound == "<= 5 and >= 1"


def test_a_missed_bound_fails_unless_it_is_a_known_gap() -> None:
    stage = small()
    stage.figure("slow", 9, "s", at_most=5, gap="issue 4: to be faster")
    assert not stage.failures
    stage.figure("bad", 9, "s", at_most=5)
    assert stage.failures == ["bad: 9 s, bound <= 5"]
    stage.expect(False, "it rains")
    stage.form()
    result = stage.end()
    assert not result.passed
    assert set(result.gaps) == {"slow"}
    assert result.failures == ("bad: 9 s, bound <= 5", "it rains")


def test_forming_is_measured_and_a_watch_sees_an_outage() -> None:
    stage = small()
    took_s = stage.until_reached(within_s=60)
    assert took_s is not None
    assert 2 < took_s < 60
    stage.mesh.run(60)
    victim = stage.mesh.nodes[0]
    others = stage.mesh.nodes[1:]
    stage.mesh.agenda.after(5, lambda: stage.mesh.cut([victim], others))
    assert 3 < stage.watch(20) <= 15
    stage.mesh.heal()
    assert stage.until_reached(within_s=0.0) is None


def test_groups_are_judged_apart() -> None:
    stage = small()
    stage.form()
    alone, others = stage.mesh.nodes[:1], stage.mesh.nodes[1:]
    stage.mesh.cut(alone, others)
    stage.mesh.run(120)
    assert stage.until_reached(within_s=300, groups=[alone, others]) is not None
    assert stage.end([alone, others]).passed
