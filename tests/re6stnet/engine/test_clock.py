"""The time of the mesh: the registry's, else the peers' in their majority, never a liar's."""

from datetime import UTC, datetime, timedelta

import pytest

from re6st_core.prefix import Prefix
from re6stnet.engine.clock import MAX_PEERS, TOLERANCE_S, MeshClock, Reading, in_words

TRUE = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)
PEERS = [Prefix(16, n) for n in range(1, 100)]


def clock() -> MeshClock:
    return MeshClock(TRUE - 100 * DAY, TRUE + 100 * DAY)


def at(steady: float, wrong_by: timedelta = timedelta()) -> Reading:
    """The host's clocks when ``steady`` seconds have passed since TRUE."""
    return Reading(TRUE + timedelta(seconds=steady) + wrong_by, steady)


def close(one: datetime, other: datetime) -> bool:
    return abs(one - other) <= timedelta(seconds=1)


@pytest.mark.parametrize("wrong_by", [DAY, -DAY, timedelta(seconds=-30), 5000 * DAY, -5000 * DAY])
def test_the_registry_corrects_a_clock(wrong_by: timedelta) -> None:
    one = clock()
    assert one.now(at(10, wrong_by)) == at(10, wrong_by).wall, "nobody has told yet"
    one.registry_says(at(10).wall, at(10, wrong_by), 1.0)
    assert close(one.now(at(3600, wrong_by)), at(3600).wall)
    assert abs(one.wrong_by_s(at(3600, wrong_by)) - wrong_by.total_seconds()) <= 1
    assert one.trusted(at(10, wrong_by))


def test_a_clock_that_is_nearly_right_is_left_alone() -> None:
    one, wrong_by = clock(), timedelta(seconds=TOLERANCE_S - 1)
    one.registry_says(at(10).wall, at(10, wrong_by), 1.0)
    assert one.wrong_by_s(at(10, wrong_by)) == 0.0
    assert one.now(at(10, wrong_by)) == at(10, wrong_by).wall


def test_a_clock_that_is_set_later_does_no_harm_and_one_that_is_set_right_is_used() -> None:
    one = clock()
    one.registry_says(at(10).wall, at(10), 1.0)
    assert close(one.now(at(20, DAY)), at(20).wall)
    assert one.now(at(30)) == at(30).wall


def test_peers_correct_it_together_while_the_registry_is_away() -> None:
    one = clock()
    for peer in PEERS[:2]:
        one.peer_says(peer, at(10).wall, at(10, DAY))
        one.peer_says(peer, at(11).wall, at(11, DAY))
    assert one.source == "", "two are not enough, however often they say it"
    one.peer_says(PEERS[2], at(12).wall, at(12, DAY))
    assert one.source == "peers"
    assert close(one.now(at(20, DAY)), at(20).wall)


def test_a_minority_of_liars_moves_nothing() -> None:
    one = clock()
    for n, peer in enumerate(PEERS[:7]):
        lie = 50 * DAY if n % 2 else timedelta()
        one.peer_says(peer, at(10, lie).wall, at(10))
    assert close(one.now(at(20)), at(20).wall)


def test_liars_cannot_leave_the_life_of_our_certificate() -> None:
    one = clock()
    for peer in PEERS[:9]:
        one.peer_says(peer, TRUE + 101 * DAY, at(10))
        one.peer_says(peer, TRUE - 101 * DAY, at(10))
    assert one.source == ""


def test_no_peer_contradicts_the_registry() -> None:
    one = clock()
    one.registry_says(at(10).wall, at(10), 1.0)
    for peer in PEERS[:9]:
        one.peer_says(peer, at(10, DAY).wall, at(10))
    assert one.now(at(20)) == at(20).wall


def test_what_is_remembered_of_peers_is_bounded() -> None:
    one = clock()
    for peer in PEERS:
        one.peer_says(peer, at(10).wall, at(10))
    assert len(one._peers) == MAX_PEERS


def test_without_anybody_who_tells_the_host_is_believed_if_it_may_be_right() -> None:
    one = clock()
    assert one.trusted(at(0, 99 * DAY))
    assert not one.trusted(at(0, 101 * DAY))
    assert not one.trusted(at(0, -101 * DAY))


def test_in_words() -> None:
    assert in_words(86400.4) == "1 day, 0:00:00 ahead"
    assert in_words(-61) == "0:01:01 behind"


def test_a_precise_word_is_kept_against_vaguer_ones_that_agree_until_it_ages() -> None:
    one = clock()
    one.registry_says(at(10).wall, at(10), 0.1)
    one.registry_says(at(20.9).wall, at(20), 1.0)
    off = timedelta(seconds=0.5)
    assert abs((one.now(at(20, off), 0.0) - at(20).wall).total_seconds()) < 0.01
    assert one.now(at(20, timedelta(seconds=0.05)), 0.0) == at(20, timedelta(seconds=0.05)).wall
    one.registry_says(at(25, timedelta(seconds=30)).wall, at(25), 1.0)
    assert close(one.now(at(26, off), 0.0), at(56).wall), "the registry's clock was set"
