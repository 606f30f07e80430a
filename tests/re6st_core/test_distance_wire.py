"""Questions for distances and their answers: what is sent is what is read, and nothing is amplified."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from re6st_core.address import Endpoint, Protocol
from re6st_core.distance_wire import (
    MAX_DATAGRAM,
    MAX_DESTINATIONS,
    NO_ROUTE,
    DistanceAnswer,
    DistanceQuestion,
    NamedPeer,
    decode_answer_untrusted,
    decode_question_untrusted,
    encode_answer,
    encode_question,
    question_size,
    tag,
)
from re6st_core.errors import WireError
from re6st_core.prefix import Prefix

prefixes = st.integers(0, 128).flatmap(
    lambda length: st.integers(0, (1 << length) - 1).map(lambda value: Prefix(length, value))
)
peers = st.builds(
    NamedPeer,
    prefixes,
    st.builds(
        Endpoint,
        st.sampled_from([IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1")]),
        st.integers(1, 65535),
        st.just(Protocol.UDP),
        st.sampled_from([None, "FR"]),
    ),
    st.booleans(),
)
nonces = st.binary(min_size=8, max_size=8)
tags = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=MAX_DESTINATIONS).map(tuple)


@given(st.builds(DistanceQuestion, nonces, tags))
def test_a_question_is_read_as_it_was_sent(question: DistanceQuestion) -> None:
    data = encode_question(question)
    assert len(data) == question_size(len(question.tags)) <= MAX_DATAGRAM
    assert decode_question_untrusted(data) == question


@given(
    st.builds(
        DistanceAnswer,
        nonces,
        st.lists(st.integers(0, NO_ROUTE), min_size=1, max_size=MAX_DESTINATIONS).map(tuple),
        st.booleans(),
        st.lists(peers, max_size=60).map(tuple),
    )
)
def test_an_answer_is_no_longer_than_its_question_and_names_as_many_peers_as_fit(
    answer: DistanceAnswer,
) -> None:
    size = question_size(len(answer.metrics))
    data = encode_answer(answer, size)
    found = decode_answer_untrusted(data)
    assert (found.nonce, found.metrics, found.room) == (answer.nonce, answer.metrics, answer.room)
    assert found.peers == answer.peers[: len(found.peers)]
    assert len(data) <= size
    assert len(found.peers) == len(answer.peers) or len(data) > size - 40


def test_with_a_hundred_destinations_a_dozen_peers_have_room() -> None:
    peer = NamedPeer(Prefix(16, 7), Endpoint(IPv4Address("192.0.2.1"), 1194, Protocol.UDP), True)
    answer = DistanceAnswer(bytes(8), (5,) * 100, True, (peer,) * 40)
    assert len(decode_answer_untrusted(encode_answer(answer, question_size(100))).peers) == 19


def test_who_answers_on_tcp_too_has_two_endpoints() -> None:
    udp = Endpoint(IPv4Address("192.0.2.1"), 1194, Protocol.UDP, "FR")
    assert NamedPeer(Prefix(4, 1), udp, False).endpoints == (udp,)
    assert NamedPeer(Prefix(4, 1), udp, True).endpoints[1] == Endpoint(udp.ip, 1194, Protocol.TCP, "FR")


def test_tags_are_those_of_the_cn() -> None:
    assert tag(Prefix(16, 3)) == 0xF92C1BA5
    assert tag(Prefix(16, 3)) != tag(Prefix(8, 3))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\1" + bytes(8) + b"\0\0",  # about nothing
        b"\1" + bytes(8) + b"\0\2" + bytes(4),  # cut off
        b"\1" + bytes(8) + b"\x01\x01" + bytes(4 * 257),  # too many
        b"\2" + bytes(8) + b"\0\1" + bytes(4),
    ],
)
def test_what_is_no_question_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_question_untrusted(data)


@pytest.mark.parametrize(
    "tail",
    [
        b"\x10",  # a peer, cut off
        b"\x10\0\1\0\xc0\0\2\1\0\0",  # port 0
        b"\x10\0\1\0\xe0\0\0\1\0\1",  # multicast
        b"\x03\xff\0\xc0\0\2\1\0\1",  # 255 in 3 bits
        b"\x10\0\1\4\xc0\0\2\1\0\1fr",
        b"\x10\0\1\4\xc0\0\2\1\0\1\xff\xff",
    ],
)
def test_an_impossible_peer_spoils_the_answer(tail: bytes) -> None:
    with pytest.raises(WireError):
        decode_answer_untrusted(b"\2" + bytes(8) + b"\0\0\1" + bytes(2) + tail)


def test_an_answer_of_more_than_a_packet_is_none() -> None:
    with pytest.raises(WireError):
        decode_answer_untrusted(b"\2" + bytes(8) + b"\0\0\1" + bytes(MAX_DATAGRAM))
