"""Any bytes on a raw ICMP socket are an error about one of our requests, or a WireError."""

from hypothesis import example, given
from hypothesis import strategies as st

from netns_lab.stage.path import decode_exceeded_untrusted
from re6st_core.errors import WireError

ABOUT_AN_ECHO = bytes([3]) + bytes(7) + b"\x60" + bytes(5) + bytes([58]) + bytes(33) + bytes([128]) + bytes(7)


@given(st.binary(max_size=100))
@example(ABOUT_AN_ECHO)
def test_any_bytes_are_an_error_about_a_request_or_a_wire_error(packet: bytes) -> None:
    try:
        exceeded = decode_exceeded_untrusted(packet)
    except WireError:
        return
    assert 0 <= exceeded.identifier <= 65535
    assert 0 <= exceeded.sequence <= 65535
