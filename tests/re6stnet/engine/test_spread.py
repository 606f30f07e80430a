"""Newer parameters reach every node within a few exchanges, whoever lies or is silent."""

import random

from re6st_core.prefix import Prefix
from re6stnet.engine.spread import AT_ONCE, COMPARE_S, FIRST_RETRY_S, LAST_RETRY_S, Exchange, Spread

A, B, C = (Prefix(16, n) for n in (1, 2, 3))


def spread(own: Prefix = A, version: int = 5) -> Spread:
    return Spread(own, version, random.Random(1))


def settled(*peers: Prefix) -> Spread:
    """One that has compared versions with its neighbours."""
    one = spread()
    one.neighbours(peers, now=0)
    for peer in peers:
        one.heard(peer, 5, now=0)
    assert one.next_timer() is None
    return one


def test_on_a_new_tunnel_one_end_compares_and_the_other_only_if_that_fails() -> None:
    first, second = spread(A), spread(B)
    first.neighbours([B], now=0)
    second.neighbours([A], now=0)
    assert first.exchanges(now=1) == [Exchange(B, whole=False)]
    assert second.exchanges(now=1) == []
    assert second.exchanges(now=COMPARE_S + 1) == [Exchange(A, whole=False)]
    other = spread(B)
    other.neighbours([A], now=0)
    other.heard(A, 5, now=1)
    assert other.next_timer() is None


def test_who_is_behind_is_given_the_parameters() -> None:
    one = spread()
    one.neighbours([B], now=0)
    assert one.exchanges(now=1) == [Exchange(B, whole=False)]
    one.done(B, 4, whole=False, now=1)
    assert one.exchanges(now=1) == [Exchange(B, whole=True)]
    one.done(B, 5, whole=True, now=1)
    assert one.next_timer() is None


def test_newer_parameters_go_to_all_who_lack_them_a_few_at_a_time() -> None:
    peers = [Prefix(16, n) for n in range(2, 12)]
    one = settled(*peers)
    one.heard(peers[0], 6, now=9)
    one.exchanges(now=9)
    one.newer(6, now=10)
    one.done(peers[0], 6, whole=False, now=10)
    told: list[Prefix] = []
    while begun := one.exchanges(now=10):
        assert len(begun) <= AT_ONCE
        assert one.exchanges(now=10) == []
        for exchange in begun:
            assert exchange.whole
            told.append(exchange.peer)
            one.done(exchange.peer, 6, whole=True, now=10)
    assert sorted(told) == peers[1:]


def test_a_silent_neighbour_is_asked_ever_more_rarely_as_long_as_it_is_one() -> None:
    one = settled(B)
    one.newer(6, now=0)
    now, waits = 0.0, []
    for _ in range(12):
        assert one.exchanges(now=now)
        one.failed(B, now=now)
        due = one.next_timer()
        assert due is not None
        waits.append(due - now)
        now = due
    assert 0.75 * FIRST_RETRY_S <= waits[0] <= 1.25 * FIRST_RETRY_S
    assert 0.75 * LAST_RETRY_S <= waits[-1] <= 1.25 * LAST_RETRY_S
    one.neighbours([], now=now)
    assert one.next_timer() is None


def test_a_neighbour_that_claims_a_version_that_it_does_not_show_costs_little() -> None:
    one = settled(B)
    now, exchanges = 0.0, 0
    while now < 3600:
        one.heard(B, 2**53, now=now)
        for exchange in one.exchanges(now=now):
            exchanges += 1
            one.done(exchange.peer, 2**53, whole=False, now=now)
        now += 0.5
    assert exchanges <= 3600 / LAST_RETRY_S * 1.4 + 10


def test_strangers_are_not_kept() -> None:
    one = settled(B)
    one.heard(C, 7, now=0)
    one.done(C, 7, whole=False, now=0)
    one.failed(C, now=0)
    assert one.next_timer() is None


def test_the_news_crosses_a_ring_of_forty_at_one_exchange_a_hop() -> None:
    nodes = [Prefix(16, n) for n in range(1, 41)]
    ring = {own: spread(own) for own in nodes}
    version = dict.fromkeys(nodes, 5)
    for n, own in enumerate(nodes):
        ring[own].neighbours([nodes[n - 1], nodes[(n + 1) % 40]], now=0)
    rounds = 0
    now = 100.0
    version[nodes[0]] = 6
    ring[nodes[0]].newer(6, now=now)
    while set(version.values()) != {6}:
        rounds += 1
        now += 0.2  # one exchange
        begun = [(own, e) for own in nodes for e in ring[own].exchanges(now=now)]
        for own, exchange in begun:
            both = max(version[own], version[exchange.peer])
            for end in (own, exchange.peer):
                if version[end] < both and (exchange.whole or end == own):
                    version[end] = both
                    ring[end].newer(both, now=now)
            ring[own].done(exchange.peer, version[exchange.peer], whole=exchange.whole, now=now)
    assert rounds <= 2 * 20 + 2
