"""Which way packets take: answers from every distance make a path, anything else is passed over."""

import struct
from ipaddress import IPv6Address

import pytest

from netns_lab.echo import request
from netns_lab.stage.path import Answers, Exceeded, decode_exceeded_untrusted
from re6st_core.errors import WireError

R1, R2, B = (IPv6Address(f"2001:db8::{i}") for i in (1, 2, 9))


def exceeded(identifier: int, sequence: int, *, kind: int = 128, next_header: int = 58) -> bytes:
    """A "time exceeded" that carries the echo request it is about."""
    inner = bytes([kind]) + request(10, identifier, sequence, 0)[1:]
    header = struct.pack("!IHBB32x", 6 << 28, len(inner), next_header, 0)
    return struct.pack("!BBHI", 3, 0, 0, 0) + header + inner


def reply(identifier: int, sequence: int) -> bytes:
    return b"\x81" + request(10, identifier, sequence, 0)[1:]


def test_an_error_tells_which_request_it_is_about() -> None:
    assert decode_exceeded_untrusted(exceeded(7, 3)) == Exceeded(7, 3)


@pytest.mark.parametrize(
    "packet",
    [b"", exceeded(7, 3)[:55], exceeded(7, 3, kind=135), exceeded(7, 3, next_header=17), reply(7, 1)],
)
def test_anything_else_is_a_wire_error(packet: bytes) -> None:
    with pytest.raises(WireError):
        decode_exceeded_untrusted(packet)


def test_a_path_is_known_when_every_distance_has_answered() -> None:
    answers = Answers(7)
    assert answers.path is None
    answers.take(reply(7, 4), B)
    answers.take(reply(7, 3), B)
    answers.take(exceeded(7, 2), R2)
    assert answers.path is None
    answers.take(exceeded(7, 1), R1)
    assert answers.path == (R1, R2, B)


def test_a_neighbour_is_a_path_of_one() -> None:
    answers = Answers(7)
    answers.take(reply(7, 1), B)
    assert answers.path == (B,)


def test_answers_to_others_and_garbage_are_passed_over() -> None:
    answers = Answers(7)
    for packet in (reply(8, 1), exceeded(8, 1), b"\x03", b"\x81", b""):
        answers.take(packet, R1)
    assert answers.path is None
