"""The book of peers: bounded, patient, and quick to forgive."""

import random
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from re6st_core.address import Endpoint, Protocol, decode_endpoints_untrusted
from re6st_core.prefix import Prefix
from re6stnet.engine.messages import PeerSeen
from re6stnet.engine.peers import LAST_RETRY_S, MAX_PEERS, OFFENDED_S, PeerBook

OWN, PEER = Prefix(16, 0), Prefix(16, 1)
ENDPOINTS = decode_endpoints_untrusted("192.0.2.1,1194,udp;192.0.2.1,1194,tcp")


def test_we_are_not_our_own_peer() -> None:
    book = PeerBook(OWN)
    book.learn([PeerSeen(OWN, ENDPOINTS)])
    assert len(book) == 0


def test_the_book_is_bounded_and_keeps_who_works() -> None:
    book = PeerBook(OWN)
    for n in range(1, MAX_PEERS + 1):
        book.learn([PeerSeen(Prefix(16, n), ENDPOINTS)])
    book.failed(Prefix(16, 7), now=0.0, rng=random.Random(1))
    book.learn([PeerSeen(Prefix(16, 60000), ENDPOINTS)])
    known = {p.prefix for p in book}
    assert len(known) == MAX_PEERS
    assert Prefix(16, 7) not in known


@given(st.integers(0, 40), st.integers(0, 2**32))
def test_waiting_grows_up_to_a_limit_and_ends_with_success(failures: int, seed: int) -> None:
    book, rng = PeerBook(OWN), random.Random(seed)
    for _ in range(failures):
        book.failed(PEER, now=100.0, rng=rng)
    assert book.get(PEER).retry_at <= 100.0 + LAST_RETRY_S * 1.25
    book.succeeded(PEER)
    assert book.get(PEER).retry_at == 0.0


def test_new_endpoints_are_tried_at_once_and_the_same_ones_are_not() -> None:
    book = PeerBook(OWN)
    book.learn([PeerSeen(PEER, ENDPOINTS)])
    book.failed(PEER, now=0.0, rng=random.Random(1))
    book.learn([PeerSeen(PEER, ENDPOINTS)])
    assert book.get(PEER).retry_at > 0
    book.learn([PeerSeen(PEER, ENDPOINTS[:1])])
    assert book.get(PEER).retry_at == 0
    assert book.get(PEER).endpoint(Protocol.TCP) is None


def test_what_is_only_said_is_overruled_and_forgotten_when_nobody_answers() -> None:
    book = PeerBook(OWN)
    place, other = (Endpoint(IPv4Address(f"192.0.2.{n}"), 1194, Protocol.UDP) for n in (1, 2))
    book.hear([PeerSeen(PEER, (place,)), PeerSeen(OWN, (place,))])
    assert (book.get(PEER).endpoints, book.get(PEER).hearsay) == ((place,), True)
    book.learn([PeerSeen(PEER, (other,))])
    book.hear([PeerSeen(PEER, (place,))])
    book.doubt(PEER)
    assert (book.get(PEER).endpoints, book.get(PEER).hearsay) == ((other,), False)
    book.hear([PeerSeen(Prefix(16, 9), (place,))])
    book.doubt(Prefix(16, 9))
    assert not book.get(Prefix(16, 9)).endpoints_known


def test_endpoints_that_may_not_be_used_any_more_are_forgotten() -> None:
    closed: set[str | None] = set()
    book = PeerBook(OWN, lambda endpoint: endpoint.country not in closed)
    place = Endpoint(IPv4Address("192.0.2.1"), 1194, Protocol.UDP, "FR")
    book.learn([PeerSeen(PEER, (place,))])
    closed.add("FR")
    book.recheck()
    assert not book.get(PEER).endpoints_known


def test_who_offended_is_kept_out_whatever_is_heard_of_it() -> None:
    book, rng = PeerBook(OWN), random.Random(1)
    book.offended(PEER, now=0.0)
    book.learn([PeerSeen(PEER, ENDPOINTS)])
    book.failed(PEER, now=1.0, rng=rng)
    book.hope(now=2.0, rng=rng)
    assert not book.get(PEER).may_be_tried(OFFENDED_S - 1)
    assert book.get(PEER).may_be_tried(OFFENDED_S + 1)
