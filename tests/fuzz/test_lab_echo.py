"""Any bytes on a raw ICMP socket are an echo reply or a WireError."""

import socket

from hypothesis import example, given
from hypothesis import strategies as st

from netns_lab.echo import decode_reply_untrusted
from re6st_core.errors import WireError

REPLY_V6 = bytes([129]) + bytes(15)
REPLY_V4 = bytes([0x45]) + bytes(19) + bytes(16)


@given(st.sampled_from([socket.AF_INET, socket.AF_INET6]), st.binary(max_size=80))
@example(socket.AF_INET6, REPLY_V6)
@example(socket.AF_INET, REPLY_V4)
@example(socket.AF_INET, b"\x4f" + REPLY_V4[1:])  # a header that claims to be longer than the packet
def test_any_bytes_are_a_reply_or_a_wire_error(family: socket.AddressFamily, packet: bytes) -> None:
    try:
        echoed = decode_reply_untrusted(family, packet)
    except WireError:
        return
    assert 0 <= echoed.identifier <= 65535
    assert (echoed.hop_limit is None) == (family == socket.AF_INET6)
