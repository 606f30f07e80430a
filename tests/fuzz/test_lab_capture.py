"""Any bytes that pass an interface are a datagram, something else, or a WireError."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from netns_lab.stage.capture import decode_datagram_untrusted, has_mac_untrusted
from re6st_core.errors import WireError


@given(st.binary(max_size=120))
def test_any_packet_is_taken_apart_or_a_wire_error(packet: bytes) -> None:
    with contextlib.suppress(WireError):
        datagram = decode_datagram_untrusted(b"\x60" + packet)
        assert datagram is None or len(datagram.payload) <= len(packet)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_payload_has_a_mac_or_none_or_is_a_wire_error(body: bytes, trailer: bytes) -> None:
    with contextlib.suppress(WireError):
        has_mac_untrusted(b"\x2a\x02" + len(body).to_bytes(2, "big") + body + trailer)
    with contextlib.suppress(WireError):
        has_mac_untrusted(body)
