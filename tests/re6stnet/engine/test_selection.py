"""The selection rule: what it may never do, whatever it sees."""

import random
from array import array
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from re6stnet.engine.gains import INFINITE
from re6stnet.engine.selection import (
    ASKED_HELD,
    FLOOR,
    MAX_SWAPS,
    Offered,
    Survey,
    TunnelView,
    View,
    decide,
    expected,
    least_missed,
)

WIDTH = 3
rows = st.lists(st.integers(0, 5000), min_size=WIDTH, max_size=WIDTH).map(lambda row: array("i", row))
tunnels = st.lists(
    st.builds(
        TunnelView,
        tunnel=st.uuids().map(str),
        peer=st.integers(0, 100),
        initiator=st.booleans(),
        active=st.booleans(),
        drawn=st.booleans(),
        wanted=st.booleans(),
        carried=st.integers(0, 50),
        expendable=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda tunnel: tunnel.peer,
).map(tuple)


@st.composite
def views(draw: st.DrawFn) -> View[int]:
    held = draw(tunnels)
    said = {"cost": st.integers(1, 500), "metrics": rows, "room": st.booleans()}
    offers = st.builds(Offered, peer=st.integers(90, 200), **said)
    via = {t.tunnel: draw(rows) for t in held if t.active}
    heard = {t.tunnel: draw(st.builds(Offered, peer=st.just(t.peer), **said)) for t in held[:4] if t.active}
    asked = draw(st.lists(offers, max_size=6, unique_by=lambda offer: offer.peer).map(tuple))
    candidates = st.lists(st.integers(101, 200), unique=True, max_size=20)
    return View(
        tunnels=held,
        candidates=tuple(draw(candidates)),
        client_count=draw(st.integers(0, 12)),
        swapping=draw(st.integers(0, MAX_SWAPS)),
        neighbours=frozenset(draw(candidates)[:2]),
        survey=draw(st.sampled_from([None, Survey(array("d", [1.0] * WIDTH), via, asked, heard)])),
    )


@given(views(), st.integers(0, 2**32))
def test_it_never_exceeds_the_count_and_never_cuts_anybody_off(view: View[int], seed: int) -> None:
    decision = decide(view, rng=random.Random(seed))
    opened = sum(t.initiator for t in view.tunnels)
    own_will = [peer for peer in decision.open if peer not in view.neighbours]
    assert len(own_will) <= max(view.client_count + view.swapping - opened, 0)
    assert set(decision.open) <= set(view.candidates)
    assert len(set(decision.open)) == len(decision.open)
    assert len(decision.swaps) + view.swapping <= MAX_SWAPS
    held = {t.peer for t in view.tunnels}
    assert {swap.peer for swap in decision.swaps} <= set(view.candidates) - held
    assert len({swap.peer for swap in decision.swaps}) == len(decision.swaps)
    gone = [name for name, _ in decision.close] + [swap.tunnel for swap in decision.swaps]
    assert len(set(gone)) == len(gone)
    by_name = {t.tunnel: t for t in view.tunnels}
    for tunnel in map(by_name.__getitem__, gone):
        assert tunnel.expendable
        assert tunnel.active
        assert tunnel.initiator
        assert not tunnel.wanted
        assert tunnel.peer not in view.neighbours
    assert not decision.close or opened > view.client_count + view.swapping
    drawn = [t for t in view.tunnels if t.initiator and t.active and t.drawn]
    kept = [t for t in drawn if t.tunnel not in gone]
    assert len(kept) >= min(len(drawn), view.client_count // FLOOR)


def one(name: str, *, carried: int = 5, drawn: bool = False) -> TunnelView[str]:
    return TunnelView(name, f"peer of {name}", True, True, drawn, False, carried, True)


def survey(
    via: dict[str, list[int]], offers: list[Offered[str]], needed: dict[str, list[int]] | None = None
) -> Survey[str]:
    """``needed``: what the peers of tunnels have without them; as a rule, everything for nothing."""
    rows = {name: array("i", row) for name, row in via.items()}
    held = {name: offered(f"peer of {name}", (needed or {}).get(name, [0, 0])) for name in via}
    return Survey(array("d", [1.0, 1.0]), rows, tuple(offers), held)


def offered(
    peer: str, metrics: list[int], *, cost: int = 10, room: bool = True, route: int = INFINITE
) -> Offered[str]:
    return Offered(peer, cost, array("i", metrics), room, route)


VIA = {"a": [100, 900], "b": [500, 800]}
BOTH = (one("a"), one("b"))
CANDIDATES = ("fair", "good", "full", "hardly", "better")


def test_the_tunnel_that_is_missed_least_goes_for_the_candidate_that_gains_most() -> None:
    offers = [offered("fair", [400, 500]), offered("good", [400, 300]), offered("full", [1, 1], room=False)]
    view = View(BOTH, CANDIDATES, 2, survey=survey(VIA, offers))
    swap, *rest = decide(view, rng=random.Random(1)).swaps
    assert (swap.peer, swap.tunnel) == ("good", "b")
    assert "good" in swap.reason
    assert [swap.tunnel for swap in rest] == ["a"]  # the fair one is better than what is left, too


def test_what_gains_nearly_nothing_is_not_worth_a_swap() -> None:
    offers = [offered("hardly", [110, 790], cost=10)]
    assert not decide(View(BOTH, CANDIDATES, 2, survey=survey(VIA, offers)), rng=random.Random(1)).swaps


def test_what_the_peer_would_miss_keeps_a_tunnel() -> None:
    offers = [offered("good", [400, 700])]
    view = View(BOTH, CANDIDATES, 2, survey=survey(VIA, offers))
    assert [swap.tunnel for swap in decide(view, rng=random.Random(1)).swaps] == ["b"]
    needed = {"b": [3000, 3000]}
    view = View(BOTH, CANDIDATES, 2, survey=survey(VIA, offers, needed))
    assert [swap.tunnel for swap in decide(view, rng=random.Random(1)).swaps] != ["b"]


def test_who_cannot_be_tried_now_is_not_taken() -> None:
    found = survey(VIA, [offered("good", [1, 1])])
    assert not decide(View(BOTH, ("fair",), 2, survey=found), rng=random.Random(1)).swaps


def test_a_tunnel_whose_peer_was_not_heard_stays() -> None:
    found = replace(survey(VIA, [offered("good", [1, 1])]), held={})
    assert not decide(View(BOTH, CANDIDATES, 2, survey=found), rng=random.Random(1)).swaps


def test_the_peers_of_the_least_missed_tunnels_are_asked() -> None:
    tunnels = tuple(one(str(n)) for n in range(9))
    via = {str(n): array("i", [100 + n, 100]) for n in range(9)}
    assert len(least_missed(View(tunnels, (), 9), array("d", [1.0, 1.0]), via)) == ASKED_HELD
    assert "0" not in {t.tunnel for t in least_missed(View(tunnels, (), 9), array("d", [1.0, 1.0]), via)}


def test_a_swap_that_lasts_is_not_begun_twice() -> None:
    offers = [offered("good", [400, 300])]
    view = View((one("a"), replace(one("b"), wanted=True)), CANDIDATES, 2, survey=survey(VIA, offers))
    assert not [s for s in decide(view, rng=random.Random(1)).swaps if s.tunnel == "b"]


def test_some_that_were_drawn_stay_however_little_they_carry() -> None:
    names = [str(n) for n in range(FLOOR)]
    tunnels = tuple(one(name, drawn=name in "01") for name in names)
    via = {name: [5000, 5000] if name == "0" else [100, 100 + int(name)] for name in names}
    view = View(tunnels, CANDIDATES, FLOOR, survey=survey(via, [offered("better", [1, 1])]))
    assert "0" not in {swap.tunnel for swap in decide(view, rng=random.Random(1)).swaps[:1]}


def test_what_is_missing_is_drawn_and_what_the_operator_wants_comes_first() -> None:
    view = View((one("a"),), tuple("bcdef"), 3, neighbours={"f"})
    decision = decide(view, rng=random.Random(1))
    assert decision.open[0] == "f"
    assert len(decision.open) == 2


def test_a_neighbour_that_the_operator_wants_is_opened_though_nothing_is_missing() -> None:
    assert decide(View(BOTH, ("n",), 2, neighbours={"n"}), rng=random.Random(1)).open == ("n",)


def test_one_tunnel_too_many_goes_unless_its_successor_is_on_the_way() -> None:
    tunnels = tuple(one(str(n), carried=n) for n in range(4))
    decision = decide(View(tunnels, (), 3), rng=random.Random(1))
    assert [name for name, _ in decision.close] == ["0"]
    assert decide(View(tunnels, (), 3, swapping=1), rng=random.Random(1)).close == ()


def test_expected_is_what_both_ends_would_gain() -> None:
    assert expected(survey({"a": [100, 900]}, [offered("x", [400, 300])])) == {"x": 590 + 290}


@given(st.lists(st.integers(0, INFINITE), min_size=2, max_size=2), st.integers(0, 2000), st.integers(0, 2000))
def test_who_lies_brings_no_more_than_its_tunnel_shortens_the_way_to_it(
    told: list[int], route: int, cost: int
) -> None:
    found = survey({"a": [100, 900]}, [offered("liar", told, route=route, cost=cost)])
    assert expected(found)["liar"] <= 2 * max(route - cost, 0)


def test_a_destination_that_has_just_died_does_not_outweigh_all_others() -> None:
    stale = offered("hardly", [380, INFINITE], cost=300, route=310)
    good = offered("good", [400, 300], route=310)
    view = View(BOTH, CANDIDATES, 2, survey=survey(VIA, [stale, good]))
    assert decide(view, rng=random.Random(1)).swaps[0].peer == "good"


def test_what_can_be_is_taken_as_it_is_told() -> None:
    told = [400, 700]
    assert expected(survey({"a": [100, 900]}, [offered("x", told, route=400)])) == expected(
        survey({"a": [100, 900]}, [offered("x", told)])
    )
