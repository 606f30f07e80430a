"""The selection rule: what it may never do, whatever it sees."""

import dataclasses
import random

from hypothesis import given
from hypothesis import strategies as st

from re6st_core.prefix import Prefix
from re6stnet.engine.selection import TunnelView, View, decide

tunnels = st.builds(
    TunnelView,
    tunnel=st.uuids().map(str),
    peer=st.integers(0, 100).map(lambda n: Prefix(16, n)),
    initiator=st.booleans(),
    active=st.booleans(),
    rtt_us=st.one_of(st.none(), st.integers(0, 10**6)),
    carried=st.integers(0, 50),
    expendable=st.booleans(),
)
views = st.builds(
    View,
    tunnels=st.lists(tunnels, max_size=12).map(tuple),
    candidates=st.lists(st.integers(101, 200).map(lambda n: Prefix(16, n)), unique=True, max_size=20).map(
        tuple
    ),
    client_count=st.integers(0, 12),
    refresh_due=st.booleans(),
    swapping=st.booleans(),
)


@given(views, st.integers(0, 2**32))
def test_it_never_exceeds_the_count_and_never_cuts_anybody_off(view: View, seed: int) -> None:
    decision = decide(view, rng=random.Random(seed))
    opened = sum(t.initiator for t in view.tunnels)
    swap = bool(decision.close) and view.refresh_due
    assert len(decision.open) <= max(view.client_count - opened, 0) + swap
    assert set(decision.open) <= set(view.candidates)
    assert len(set(decision.open)) == len(decision.open)
    by_name = {t.tunnel: t for t in view.tunnels}
    for name, reason in decision.close:
        assert by_name[name].expendable
        assert by_name[name].active
        assert by_name[name].initiator
        assert reason
        surplus = opened > view.client_count and not view.swapping
        assert surplus or (view.refresh_due and decision.open)


def test_the_tunnel_that_carries_least_goes_first() -> None:
    def one(name: str, carried: int) -> TunnelView:
        return TunnelView(name, Prefix(16, carried), True, True, 1000, carried, True)

    view = View(
        (one("a", 3), one("b", 1), one("c", 2)), (Prefix(16, 9),), 3, refresh_due=True, swapping=False
    )
    assert decide(view, rng=random.Random(1)).close[0][0] == "b"


def test_one_tunnel_too_many_goes_unless_its_successor_is_on_the_way() -> None:
    tunnels = tuple(TunnelView(str(n), Prefix(16, n), True, True, 1000, n, True) for n in range(4))
    view = View(tunnels, (), 3, refresh_due=False, swapping=False)
    decision = decide(view, rng=random.Random(1))
    assert [name for name, _ in decision.close] == ["0"]
    assert decide(dataclasses.replace(view, swapping=True), rng=random.Random(1)).close == ()
