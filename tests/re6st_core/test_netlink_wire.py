"""Netlink's bytes, as the kernel's headers describe them."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from re6st_core.errors import WireError
from re6st_core.netlink_wire import (
    NetlinkMessage,
    attribute,
    decode_attributes_untrusted,
    decode_messages_untrusted,
    decode_u32_untrusted,
    encode_message,
    nested,
    text,
    u32,
)

u32s = st.integers(0, 0xFFFFFFFF)
messages = st.builds(
    NetlinkMessage, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), u32s, st.binary(max_size=40)
)
attributes = st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40)), max_size=5)


def test_a_message_has_its_length_in_front_and_is_padded_behind() -> None:
    encoded = encode_message(NetlinkMessage(16, 5, 7, b"abcde"))
    assert encoded == struct.pack("=IHHII", 21, 16, 5, 7, 0) + b"abcde\0\0\0"


@given(st.lists(messages, max_size=4))
def test_messages_of_one_datagram_are_read_back(sent: list[NetlinkMessage]) -> None:
    assert list(decode_messages_untrusted(b"".join(map(encode_message, sent)))) == sent


@given(attributes)
def test_attributes_are_read_back_in_order(pairs: list[tuple[int, bytes]]) -> None:
    assert decode_attributes_untrusted(b"".join(attribute(*pair) for pair in pairs)) == pairs


def test_attributes_may_consist_of_attributes() -> None:
    encoded = nested(18, text(1, "wireguard"), u32(2, 1 << 31))
    ((kind, value),) = decode_attributes_untrusted(encoded)
    assert kind == 18
    name, number = decode_attributes_untrusted(value)
    assert name == (1, b"wireguard\0")
    assert decode_u32_untrusted(number[1]) == 1 << 31


@pytest.mark.parametrize(
    "bad", [bytes(15), struct.pack("=IHHII", 15, 0, 0, 0, 0), struct.pack("=IHHII", 17, 0, 0, 0, 0)]
)
def test_messages_that_end_too_soon_are_refused(bad: bytes) -> None:
    with pytest.raises(WireError, match="netlink message"):
        list(decode_messages_untrusted(bad))


@pytest.mark.parametrize("bad", [b"\4\0\0", b"\3\0\0\0", b"\5\0\0\0"])
def test_attributes_that_end_too_soon_are_refused(bad: bytes) -> None:
    with pytest.raises(WireError, match="netlink attribute"):
        decode_attributes_untrusted(bad)


def test_a_number_of_another_size_is_refused() -> None:
    with pytest.raises(WireError, match="3 bytes"):
        decode_u32_untrusted(bytes(3))
