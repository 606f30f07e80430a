"""The text of babeld's local interface, as babeld 1.12.1 prints it, and what it never prints."""

import pytest

from babel_ctl.codec import Answered, Decoder, Greeted, Put, Remove, Status, decode_record_untrusted
from re6st_core.errors import WireError

GREETING = b"BABEL 1.0\nversion babeld-1.12.1\nhost vm\nmy-id a8:28:20:d0:49:fe:92:24\nok\n"
NEIGHBOUR = b"add neighbour 55d0 address fe80::2 if %s reach ff00 ureach 0000 rxcost 16 txcost 16 cost 16"


def test_a_session_gives_its_events() -> None:
    decoder = Decoder()
    events = decoder.feed_untrusted(
        GREETING + b"add interface t0 up false\nok\nflush interface t0 up false\nno No such interface\nbad\n"
    )
    assert [type(event) for event in events] == [Greeted, Put, Answered, Remove, Answered, Answered]
    assert events[0] == Greeted("babeld-1.12.1", bytes.fromhex("a82820d049fe9224"))
    assert events[4:] == [Answered(Status.NO, "No such interface"), Answered(Status.BAD)]


def test_lines_may_arrive_in_any_pieces() -> None:
    decoder = Decoder()
    events = [event for byte in GREETING for event in decoder.feed_untrusted(bytes([byte]))]
    assert [type(event) for event in events] == [Greeted]


def test_later_babelds_may_say_more() -> None:
    assert decode_record_untrusted(b"add colour 12 of sky") is None
    assert isinstance(decode_record_untrusted(b"add interface t0 up false colour blue"), Put)


def test_a_neighbour_of_a_freed_interface_is_gone() -> None:
    assert isinstance(decode_record_untrusted(NEIGHBOUR % b"t0"), Put)
    assert isinstance(decode_record_untrusted(NEIGHBOUR % b"\xfe\x01"), Remove)
    assert isinstance(decode_record_untrusted(NEIGHBOUR % b""), Remove)


@pytest.mark.parametrize(
    "stream",
    [
        b"SSH-2.0\n",
        b"BABEL 2.0\n",
        b"BABEL 1.0\nok\n",
        b"BABEL 1.0\nmy-id 12\n",
        GREETING + b"hello\n",
        GREETING + b"add interface t0\n",
        GREETING + b"add interface t0 up maybe\n",
        GREETING + b"add interface name-of-17-chars up true\n",
        GREETING + b"add xroute x prefix 2001:db8::1/32 from ::/0 metric 0\n",
        GREETING + b"add xroute x prefix 2001:db8::/32 from ::/0 metric 4294967296\n",
        GREETING + b"x" * 1024,
    ],
)
def test_anything_else_is_the_known_error(stream: bytes) -> None:
    with pytest.raises(WireError):
        Decoder().feed_untrusted(stream)
