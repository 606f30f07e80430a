"""Echo packets: ours are valid, and any bytes are a reply or a WireError."""

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns_lab.echo import Echoed, checksum, decode_reply_untrusted, request
from re6st_core.errors import WireError

V4, V6 = socket.AF_INET, socket.AF_INET6


@given(st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 2**62))
def test_an_ipv4_request_has_a_checksum_that_verifies(identifier: int, sequence: int, sent_ns: int) -> None:
    assert checksum(request(V4, identifier, sequence, sent_ns)) == 0


def test_checksum_of_the_example_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == ~0xDDF2 & 0xFFFF


@given(st.sampled_from([V4, V6]), st.integers(0, 65535), st.integers(0, 2**62))
def test_a_reply_gives_back_what_was_asked(
    family: socket.AddressFamily, identifier: int, sent_ns: int
) -> None:
    asked = request(family, identifier, 1, sent_ns)
    reply = bytes([0 if family == V4 else 129]) + asked[1:]
    if family == V4:
        header = struct.pack("!BBHHHBBH8x", 0x45, 0, 20 + len(reply), 0, 0, 61, 1, 0)
        assert decode_reply_untrusted(V4, header + reply) == Echoed(identifier, 1, sent_ns, 61)
    else:
        assert decode_reply_untrusted(V6, reply) == Echoed(identifier, 1, sent_ns, None)


def test_our_own_request_is_not_a_reply() -> None:
    with pytest.raises(WireError):
        decode_reply_untrusted(V6, request(V6, 1, 1, 1))
