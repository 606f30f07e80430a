"""Token buckets of peers."""

from re6st_core.prefix import Prefix
from re6stnet.engine.budgets import Budgets

A, B, C = (Prefix(16, i) for i in range(3))


def test_a_peer_has_its_burst_and_then_its_rate() -> None:
    budgets = Budgets(2.0, 5.0, most=8)
    assert [budgets.spend(A, now=0.0) for _ in range(3)] == [True, True, False]
    assert not budgets.spend(A, now=4.0)
    assert budgets.spend(A, now=6.0)


def test_one_peer_does_not_spend_what_another_has() -> None:
    budgets = Budgets(1.0, 5.0, most=8)
    assert budgets.spend(A, now=0.0)
    assert budgets.spend(B, now=0.0)


def test_no_more_peers_are_remembered_than_allowed() -> None:
    budgets = Budgets(1.0, 5.0, most=2)
    for peer in (A, B, C):
        budgets.spend(peer, now=0.0)
    assert len(budgets) == 2
