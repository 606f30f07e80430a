"""The model's babeld: distances and seqnos of RFC 8966, with the age that updates have."""

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns_lab.model import wire
from netns_lab.model.agenda import Agenda
from netns_lab.model.babel import INFINITY, SAMPLE_S, Babel, Changes
from netns_lab.model.links import Link
from re6st_core.netparams import NetworkParameters

PARAMETERS = NetworkParameters(version=1)


@dataclass
class Wire:
    """A carrier that works until it is cut."""

    delay_s: float = 0.01
    lost: float = 0.0
    works: bool = True
    openvpn: bool = False

    def carries(self, end: int) -> bool:
        return self.works

    def one_way_s(self, end: int) -> float:
        return self.delay_s

    def loss(self) -> float:
        return self.lost


@dataclass
class Routers:
    """Some babelds and the links between them."""

    count: int
    jitter_s: float = 0.0
    agenda: Agenda = field(default_factory=Agenda)
    ledger: wire.Ledger = field(default_factory=wire.Ledger)
    links: dict[str, Link] = field(default_factory=dict)
    heard: list[tuple[int, str, bool]] = field(default_factory=list)
    changes: list[Changes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(4)
        self.all = [self._babel(i) for i in range(self.count)]

    def _babel(self, index: int) -> Babel:
        return Babel(
            index,
            f"n{index}",
            agenda=self.agenda,
            rng=self.rng,
            parameters=PARAMETERS,
            ledger=self.ledger,
            jitter_s=lambda: self.jitter_s,
            tell=lambda name, alive, _rtt: self.heard.append((index, name, alive)),
            on_routes=self.changes.append,
            moved=lambda _destination: None,
            seqno=65530,
        )

    def link(self, a: int, b: int, delay_s: float = 0.01, lost: float = 0.0) -> Wire:
        name, cable = f"{a}-{b}", Wire(delay_s, lost)

        def told(end: int, alive: bool) -> None:
            here, there = (a, b)[end], (a, b)[1 - end]
            if alive:
                self.all[here].up(link, self.all[there])
            else:
                self.all[here].down(name)

        link = self.links[name] = Link(name, (a, b), cable, self.agenda, self.rng, 1.0, told)
        link.refresh()
        return cable

    def cut(self, cable: Wire) -> None:
        cable.works = False
        for link in self.links.values():
            link.refresh()

    def way(self, start: int, end: int) -> list[int] | None:
        passed = [start]
        while passed[-1] != end:
            name = self.all[passed[-1]].selected.get(end)
            if name is None or len(passed) > self.count or not self.links[name].carries(passed[-1]):
                return None
            passed.append(self.links[name].other(passed[-1]))
        return passed

    def all_ways(self) -> bool:
        pairs = [(a, b) for a in range(self.count) for b in range(self.count) if a != b]
        return all(self.way(a, b) is not None for a, b in pairs)


def test_routes_take_the_shorter_way() -> None:
    routers = Routers(3)
    routers.link(0, 1, 0.01)
    routers.link(1, 2, 0.01)
    routers.link(0, 2, 0.2)
    routers.agenda.run(30)
    assert routers.way(0, 2) == [0, 1, 2]
    assert routers.way(2, 0) == [2, 1, 0]


def test_news_travels_hop_by_hop_and_takes_its_time() -> None:
    routers = Routers(6)
    for i in range(5):
        routers.link(i, i + 1)
    routers.agenda.run(1.4)
    assert not routers.all_ways()  # nobody hears anybody yet
    routers.agenda.run(10)
    assert routers.way(0, 5) == [0, 1, 2, 3, 4, 5]


def test_a_cut_is_noticed_late_and_then_gone_around() -> None:
    routers = Routers(4)
    cable = routers.link(0, 1)
    for a, b in ((1, 2), (2, 3), (3, 0)):
        routers.link(a, b)
    routers.agenda.run(30)
    assert routers.way(0, 1) == [0, 1]
    routers.cut(cable)
    routers.agenda.run(2)
    assert routers.way(0, 1) is None  # the table is older than the cut
    routers.agenda.run(16)
    assert routers.way(0, 1) == [0, 3, 2, 1]
    assert (1, "0-1", False) in routers.heard


def test_who_is_cut_off_is_forgotten_and_its_routes_do_not_count_to_infinity() -> None:
    routers = Routers(4)
    cables = [routers.link(0, i) for i in (1, 2)]
    routers.link(1, 2)
    routers.link(2, 3)
    routers.agenda.run(30)
    for cable in cables:
        routers.cut(cable)
    routers.agenda.run(30)
    assert all(0 not in routers.all[i].selected for i in (1, 2, 3))
    assert all(0 not in routers.all[i].routes for i in (1, 2, 3))


@given(st.integers(0, 10_000))
def test_a_ring_with_chords_heals_after_any_cut_and_never_has_a_loop_that_stays(seed: int) -> None:
    rng, routers = random.Random(seed), Routers(8)
    cables = [routers.link(i, (i + 1) % 8, rng.uniform(0.001, 0.1)) for i in range(8)]
    pairs = [(a, b) for a in range(8) for b in range(a + 2, 8) if (a, b) != (0, 7)]
    cables += [routers.link(a, b, rng.uniform(0.001, 0.1)) for a, b in rng.sample(pairs, 4)]
    routers.agenda.run(30)
    assert routers.all_ways()
    routers.cut(rng.choice(cables))
    routers.agenda.run(40)
    assert routers.all_ways()


def test_a_lossy_link_delays_updates_and_loses_none_for_good() -> None:
    routers = Routers(3)
    routers.link(0, 1, lost=0.02)
    routers.link(1, 2, lost=0.02)
    routers.agenda.run(30)
    assert routers.all_ways()


def test_flushing_an_interface_says_nothing_of_a_lost_neighbour() -> None:
    routers = Routers(2)
    routers.link(0, 1)
    routers.agenda.run(10)
    routers.heard.clear()
    routers.all[0].down("0-1", tell=False)
    routers.agenda.run(1)
    assert not routers.heard
    assert routers.changes[-1] == {(1, "0-1"): None}


def test_a_babeld_that_stopped_neither_speaks_nor_listens() -> None:
    routers = Routers(2)
    routers.link(0, 1)
    routers.agenda.run(10)
    routers.all[0].stop()
    routers.all[0].receive("0-1", [(1, 0, 0)])
    assert not routers.all[0].routes


def test_the_cost_follows_the_delay_as_the_parameters_say() -> None:
    routers = Routers(3)
    routers.link(0, 1, 0.1)
    routers.link(1, 2, 0.4)
    routers.agenda.run(10)
    expected = PARAMETERS.rxcost + round(PARAMETERS.max_rtt_penalty * (200 - 1) / 499)
    assert routers.all[0].routes[1]["0-1"].metric == expected
    assert routers.all[1].routes[2]["1-2"].metric == PARAMETERS.rxcost + PARAMETERS.max_rtt_penalty
    assert expected < INFINITY


@pytest.mark.parametrize(("jitter_s", "changes"), [(0.0, False), (0.05, True)])
def test_measurements_are_noisy_when_the_weather_is(jitter_s: float, changes: bool) -> None:
    routers = Routers(2, jitter_s=jitter_s)
    routers.link(0, 1, 0.05)
    routers.agenda.run(10)
    seen = set()
    for _ in range(20):
        routers.agenda.run(SAMPLE_S)
        routers.all[0].sample()
        seen.add(routers.all[0].neighbours["0-1"].rtt_s)
    assert (len(seen) > 1) == changes
    assert all(0.05 <= rtt_s <= 0.3 for rtt_s in seen)


def test_what_goes_out_all_the_time_is_counted() -> None:
    routers = Routers(2)
    routers.link(0, 1)
    routers.agenda.run(10)
    routers.all[0].sample()
    before = routers.ledger.total("n0")
    routers.agenda.run(SAMPLE_S)
    routers.all[0].sample()
    per_s = (routers.ledger.total("n0") - before) / SAMPLE_S
    # Two hellos a second, an IHU every three hellos, two destinations every four seconds, in WireGuard.
    assert 250 <= per_s <= 340


def test_a_destination_without_route_may_come_back_with_any_seqno_after_a_while() -> None:
    routers = Routers(2)
    cable = routers.link(0, 1)
    routers.agenda.run(10)
    routers.cut(cable)
    for _ in range(6):
        routers.agenda.run(SAMPLE_S)
        routers.all[0].sample()
    routers.all[1].seqno = 0x7000  # its state file is lost
    cable.works = True
    routers.links["0-1"].refresh()
    routers.agenda.run(10)
    assert routers.way(0, 1) == [0, 1]
