"""Negotiation of single tunnels: hostile, late, doubled and crossed messages."""

import itertools
import random

import pytest

from re6st_core.address import Endpoint, Protocol, decode_endpoints_untrusted
from re6st_core.peer_wire import OPENVPN, WIREGUARD, Answer, Close, Offer
from re6st_core.prefix import Prefix
from re6stnet.engine.messages import (
    Accuse,
    Create,
    Created,
    NeighbourChanged,
    Originates,
    PeerSeen,
    Prepare,
    Prepared,
    Remove,
    Send,
    TunnelRecord,
)
from re6stnet.engine.negotiation import (
    MAX_HALF_OPEN,
    MAX_NONCES,
    MAX_TUNNELS,
    OFFER_BURST,
    OFFER_EVERY_S,
    Negotiator,
)
from re6stnet.engine.peers import CLOSED_S, OFFENDED_S, PeerBook

OWN, PEER = Prefix(16, 5), Prefix(16, 9)
ENDPOINTS = decode_endpoints_untrusted("192.0.2.1,1194,udp;192.0.2.1,1194,tcp")
MINE = decode_endpoints_untrusted("198.51.100.1,1194,udp;198.51.100.1,1194,tcp")


@pytest.fixture
def peers() -> PeerBook:
    book = PeerBook(OWN)
    book.learn([PeerSeen(PEER, ENDPOINTS)])
    return book


@pytest.fixture
def us(peers: PeerBook) -> Negotiator:
    numbers = itertools.count()
    negotiator = Negotiator(OWN, peers, rng=random.Random(1), new_nonce=lambda: f"{next(numbers):032x}")
    negotiator.endpoints = MINE
    return negotiator


def offer(
    nonce: str = "f" * 32, sender: Prefix = PEER, transport: str = WIREGUARD, port: int = 1194
) -> Offer:
    source = Endpoint(ENDPOINTS[0].ip, port, Protocol.UDP)
    return Offer(
        sender=sender, recipient=OWN, nonce=nonce, expires=0, transport=transport,
        public_key="theirs" if transport == WIREGUARD else "", endpoints=ENDPOINTS, source=source,
    )  # fmt: skip


def answer(nonce: str, refusal: str = "") -> Answer:
    return Answer(
        sender=PEER, recipient=OWN, nonce=nonce, expires=0, refusal=refusal, public_key="theirs", mtu=1300
    )


def test_without_wireguard_tcp_is_used_at_once_and_its_offers_are_refused(
    us: Negotiator, peers: PeerBook
) -> None:
    us.transports = (OPENVPN,)
    (send,) = us.offered(offer(), 77, now=0.0)
    assert isinstance(send, Send)
    assert isinstance(send.message, Answer)
    assert send.message.refusal == "I use no wireguard"
    (prepare,) = us.open(peers.get(PEER), now=0.0)
    assert isinstance(prepare, Prepare)
    assert prepare.transport == OPENVPN


def test_without_openvpn_a_peer_that_udp_does_not_reach_is_left_alone(
    us: Negotiator, peers: PeerBook
) -> None:
    us.transports = (WIREGUARD,)
    (prepare,) = us.open(peers.get(PEER), now=0.0)
    assert isinstance(prepare, Prepare)
    assert prepare.transport == WIREGUARD
    (remove,) = us.prepared(Prepared(prepare.tunnel, "ours", None, None), now=0.1)
    assert isinstance(remove, Remove)
    assert peers.get(PEER).retry_at > 0.1
    (send,) = us.offered(offer("e" * 32, transport=OPENVPN), 77, now=0.2)
    assert isinstance(send, Send)
    assert isinstance(send.message, Answer)
    assert send.message.refusal == "I use no openvpn"


def test_our_offer_becomes_a_tunnel_with_the_smaller_mtu(us: Negotiator, peers: PeerBook) -> None:
    (prepare,) = us.open(peers.get(PEER), now=0.0)
    assert isinstance(prepare, Prepare)
    assert prepare.server == ENDPOINTS[0]
    (send,) = us.prepared(Prepared(prepare.tunnel, "ours", MINE[0], 5), now=0.1)
    assert isinstance(send, Send)
    (create,) = us.answered(answer(prepare.tunnel), 77, now=0.2)
    assert isinstance(create, Create)
    assert (create.record.mtu, create.record.peer_key, create.record.endpoint) == (
        1300,
        "theirs",
        ENDPOINTS[0],
    )
    us.created(Created(prepare.tunnel), now=0.3)
    assert us.neighbour(NeighbourChanged(prepare.tunnel, True, 7000), now=0.4)
    assert us.active()[0].rtt_us == 7000


def test_silence_by_udp_means_tcp(us: Negotiator, peers: PeerBook) -> None:
    (prepare,) = us.open(peers.get(PEER), now=0.0)
    assert isinstance(prepare, Prepare)
    commands = us.prepared(Prepared(prepare.tunnel, "ours", None), now=1.4)
    assert [type(c) for c in commands] == [Remove, Prepare]
    assert isinstance(commands[1], Prepare)
    assert (commands[1].transport, commands[1].server) == (OPENVPN, None)


def test_an_offer_is_answered_while_the_device_is_being_made(us: Negotiator) -> None:
    (prepare,) = us.offered(offer(), 77, now=0.0)
    assert isinstance(prepare, Prepare)
    create, reply = us.prepared(Prepared(prepare.tunnel, "ours"), now=0.1)
    assert isinstance(create, Create)
    assert isinstance(reply, Send)
    assert isinstance(reply.message, Answer)
    assert (reply.message.refusal, reply.message.public_key) == ("", "ours")


def test_a_replayed_offer_is_ignored_even_after_the_tunnel_is_gone(us: Negotiator) -> None:
    us.offered(offer(), 77, now=0.0)
    us.closed(Close(sender=PEER, recipient=OWN, nonce="f" * 32, expires=0), now=1.0)
    assert len(us) == 0
    (refusal,) = us.offered(offer(), 77, now=2.0)
    assert isinstance(refusal, Send)
    assert isinstance(refusal.message, Answer)
    assert "before" in refusal.message.refusal
    assert len(us) == 0


@pytest.mark.parametrize("heard", [True, False])
def test_who_closes_a_working_tunnel_is_left_alone_for_longer_than_who_gives_up_an_attempt(
    us: Negotiator, peers: PeerBook, heard: bool
) -> None:
    us.offered(offer(), 77, now=0.0)
    us.prepared(Prepared("f" * 32, "ours"), now=0.1)
    us.created(Created("f" * 32), now=0.2)
    if heard:
        us.neighbour(NeighbourChanged("f" * 32, True, 1000), now=1.0)
    us.closed(Close(sender=PEER, recipient=OWN, nonce="f" * 32, expires=0, reason="bye"), now=2.0)
    assert us.with_peer(PEER) is None
    wait_s = peers.get(PEER).retry_at - 2.0
    assert 0.75 * CLOSED_S <= wait_s <= 1.25 * CLOSED_S if heard else wait_s < 0.75 * CLOSED_S


def test_an_offer_that_arrives_twice_is_answered_once(us: Negotiator) -> None:
    assert len(us.offered(offer(), 77, now=0.0)) == 1
    assert us.offered(offer(), 77, now=0.1) == []


def test_a_flood_by_one_peer_costs_little(us: Negotiator) -> None:
    commands = [c for n in range(1000) for c in us.offered(offer(f"{n:032x}"), 77, now=0.0)]
    assert sum(isinstance(c, Prepare) for c in commands) == OFFER_BURST
    later = us.offered(offer("a" * 32), 77, now=OFFER_EVERY_S)
    assert any(isinstance(c, Prepare) for c in later)


def test_nobody_gets_the_packets_of_another_tunnel_by_naming_its_source(us: Negotiator) -> None:
    us.offered(offer(), 77, now=0.0)
    thief = offer("b" * 32, Prefix(16, 66))
    (refusal,) = us.offered(thief, 78, now=0.0)
    assert isinstance(refusal, Send)
    assert isinstance(refusal.message, Answer)
    assert "not yours" in refusal.message.refusal
    assert us.with_peer(PEER) is not None


def test_an_endpoint_that_no_tunnel_may_use_is_refused(us: Negotiator, peers: PeerBook) -> None:
    peers.usable = lambda endpoint: endpoint.port != 1194
    (refusal,) = us.offered(offer(), 77, now=0.0)
    assert isinstance(refusal, Send)
    assert len(us) == 0


def test_when_wireguard_cannot_be_made_tcp_comes_next(us: Negotiator, peers: PeerBook) -> None:
    us.open(peers.get(PEER), now=0.0)
    tunnel = us.with_peer(PEER)
    assert tunnel is not None
    us.broken(tunnel, "no /dev/net/tun", now=0.1)
    (prepare,) = us.open(peers.get(PEER), now=10.0)
    assert isinstance(prepare, Prepare)
    assert prepare.transport == OPENVPN


def test_a_revoked_certificate_ends_its_tunnel(us: Negotiator) -> None:
    us.offered(offer(), 77, now=0.0)
    assert us.revoke((1, 2), now=1.0) == []
    commands = us.revoke((2, 77), now=1.0)
    assert isinstance(commands[-1], Remove)
    assert len(us) == 0


def test_who_originates_what_is_not_its_own_is_cut_accused_and_refused_for_a_while(us: Negotiator) -> None:
    us.offered(offer(), 77, now=0.0)
    assert us.originates(Originates("f" * 32, PEER), now=1.0) == []
    assert us.originates(Originates("f" * 32, Prefix(17, 2 * PEER.value + 1)), now=1.0) == [], (
        "part of its own"
    )
    assert us.originates(Originates("e" * 32, Prefix(16, 1)), now=1.0) == [], "a tunnel that is gone"
    commands = us.originates(Originates("f" * 32, Prefix(16, 1)), now=1.0)
    assert commands[0] == Accuse(PEER, Prefix(16, 1))
    assert isinstance(commands[-1], Remove)
    assert len(us) == 0
    (refusal,) = us.offered(offer("d" * 32), 77, now=OFFENDED_S)
    assert isinstance(refusal, Send)
    assert isinstance(refusal.message, Answer)
    assert "not yours" in refusal.message.refusal
    assert isinstance(us.offered(offer("c" * 32), 77, now=OFFENDED_S + 2)[-1], Prepare)


@pytest.mark.parametrize("taken", [Prefix(0, 0), Prefix(8, 0), Prefix(16, 5)])
def test_the_whole_network_a_part_of_it_and_ours_are_not_a_peer_s_own(us: Negotiator, taken: Prefix) -> None:
    us.offered(offer(), 77, now=0.0)
    assert us.originates(Originates("f" * 32, taken), now=1.0)[0] == Accuse(PEER, taken)


def test_there_are_never_more_tunnels_than_the_limit(us: Negotiator, peers: PeerBook) -> None:
    for n in range(2 * MAX_TUNNELS):
        endpoint = Endpoint(ENDPOINTS[0].ip, 2000 + n, Protocol.UDP)
        peers.learn([PeerSeen(Prefix(16, 1000 + n), (endpoint,))])
        us.open(peers.get(Prefix(16, 1000 + n)), now=0.0)
    assert len(us) == MAX_TUNNELS


def test_of_crossed_offers_that_of_the_smaller_prefix_stands(us: Negotiator, peers: PeerBook) -> None:
    us.open(peers.get(PEER), now=0.0)
    (refusal,) = us.offered(offer(), 77, now=0.1)
    assert isinstance(refusal, Send)
    assert isinstance(refusal.message, Answer)
    assert refusal.message.refusal
    smaller = Prefix(16, 1)
    peers.learn([PeerSeen(smaller, ENDPOINTS)])
    (ours,) = us.open(peers.get(smaller), now=0.0)
    assert isinstance(ours, Prepare)
    commands = us.offered(offer("e" * 32, smaller, port=9), 77, now=0.1)
    assert [type(c) for c in commands] == [Remove, Prepare]
    assert us.with_peer(smaller) is us.get("e" * 32)


def test_an_answer_of_somebody_else_or_out_of_time_does_nothing(us: Negotiator, peers: PeerBook) -> None:
    (prepare,) = us.open(peers.get(PEER), now=0.0)
    assert isinstance(prepare, Prepare)
    assert us.answered(answer(prepare.tunnel), 77, now=0.1) == []  # before our offer was sent
    us.prepared(Prepared(prepare.tunnel, "ours", MINE[0]), now=0.2)
    stranger = Answer(sender=Prefix(16, 66), recipient=OWN, nonce=prepare.tunnel, expires=0, public_key="x")
    assert us.answered(stranger, 77, now=0.3) == []
    close = Close(sender=Prefix(16, 66), recipient=OWN, nonce=prepare.tunnel, expires=0)
    assert us.closed(close, now=0.3) == []
    assert len(us) == 1


def test_a_flood_of_offers_is_bounded(us: Negotiator) -> None:
    commands = []
    for n in range(3 * MAX_NONCES // 2):
        commands += us.offered(offer(f"{n:032x}", Prefix(16, 100 + n % 1000), port=1 + n), 77, now=0.0)
    assert len(us) <= MAX_HALF_OPEN
    assert len(us._seen) <= MAX_NONCES


def test_a_refusal_names_alternatives(us: Negotiator) -> None:
    us.max_clients = 0
    (refusal,) = us.offered(offer(), 77, now=0.0)
    assert isinstance(refusal, Send)
    assert isinstance(refusal.message, Answer)
    assert refusal.message.refusal
    assert PEER not in refusal.message.alternatives


def test_an_attempt_that_hangs_is_dropped_and_the_peer_left_alone_for_a_while(
    us: Negotiator, peers: PeerBook
) -> None:
    us.open(peers.get(PEER), now=0.0)
    deadline = us.next_deadline()
    assert deadline is not None
    assert us.timed_out(now=deadline - 0.1) == []
    commands = us.timed_out(now=deadline)
    assert isinstance(commands[-1], Remove)
    assert peers.get(PEER).retry_at > deadline


def test_a_path_too_narrow_for_wireguard_is_tried_by_tcp_next(us: Negotiator, peers: PeerBook) -> None:
    us.adopt(TunnelRecord("a" * 32, PEER, True, WIREGUARD, 1420), now=0.0)
    tunnel = us.get("a" * 32)
    assert tunnel is not None
    us.broken(tunnel, "too narrow", narrow=True, now=1.0)
    (prepare,) = us.open(peers.get(PEER), now=10.0)
    assert isinstance(prepare, Prepare)
    assert prepare.transport == OPENVPN
