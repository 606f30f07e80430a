"""STUN messages agree with RFC 8489 and its test vectors; any bytes are a message or the known error."""

import contextlib
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import WireError
from re6st_core.stun import (
    BindingRequest,
    BindingSuccess,
    decode_stun_untrusted,
    encode_request,
    encode_success,
)

TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
# RFC 5769 sections 2.2 and 2.3: SOFTWARE, XOR-MAPPED-ADDRESS, MESSAGE-INTEGRITY, FINGERPRINT
SAMPLE_IPV4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f722000200008"
    "0001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
SAMPLE_IPV6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f722000200014"
    "0002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275"
    "bfe3ed4180280004c8fb0b4c"
)

transactions = st.binary(min_size=12, max_size=12)
ports = st.integers(1, 65535)
hosts = st.ip_addresses().filter(
    lambda ip: (
        not ip.is_multicast
        and not ip.is_unspecified
        and not (isinstance(ip, IPv6Address) and (ip.is_link_local or ip.ipv4_mapped))
    )
)


def endpoint(ip: IPv4Address | IPv6Address, port: int) -> Endpoint:
    return Endpoint(ip, port, Protocol.UDP)


@pytest.mark.parametrize(
    ("sample", "host"), [(SAMPLE_IPV4, "192.0.2.1"), (SAMPLE_IPV6, "2001:db8:1234:5678:11:2233:4455:6677")]
)
def test_samples_of_the_rfc_are_read(sample: bytes, host: str) -> None:
    expected = BindingSuccess(TRANSACTION, endpoint(ip_address(host), 32853))
    assert decode_stun_untrusted(sample) == expected


@given(transactions, hosts, ports)
def test_messages_come_back_and_answers_are_not_larger_than_questions(
    transaction: bytes, host: IPv4Address | IPv6Address, port: int
) -> None:
    request = BindingRequest(transaction)
    success = BindingSuccess(transaction, endpoint(host, port))
    assert decode_stun_untrusted(encode_request(request)) == request
    assert decode_stun_untrusted(encode_success(success)) == success
    assert len(encode_success(success)) <= len(encode_request(request))


@given(st.sampled_from([SAMPLE_IPV4, SAMPLE_IPV6]), st.integers(0, 800), st.integers(0, 7))
def test_flipped_bit_never_changes_what_is_read(sample: bytes, position: int, bit: int) -> None:
    changed = bytearray(sample)
    changed[position % len(sample)] ^= 1 << bit
    try:
        result = decode_stun_untrusted(bytes(changed))
    except WireError:
        return
    assert result == decode_stun_untrusted(sample)


@pytest.mark.parametrize("size", range(len(SAMPLE_IPV4)))
def test_cut_message_is_refused(size: int) -> None:
    with pytest.raises(WireError):
        decode_stun_untrusted(SAMPLE_IPV4[:size])


def test_request_with_something_that_must_be_understood_is_refused() -> None:
    with pytest.raises(WireError, match="0x0026"):
        decode_stun_untrusted(struct.pack("!HHI12sHHI", 1, 8, 0x2112A442, TRANSACTION, 0x0026, 4, 0))


@given(st.binary(max_size=100), st.sampled_from([0x0001, 0x0101, 0x0111]))
def test_any_attributes_give_a_message_or_the_known_error(attributes: bytes, kind: int) -> None:
    with contextlib.suppress(WireError):
        decode_stun_untrusted(
            struct.pack("!HHI12s", kind, len(attributes), 0x2112A442, TRANSACTION) + attributes
        )


@given(st.binary(max_size=600))
def test_any_bytes_give_a_message_or_the_known_error(data: bytes) -> None:
    with contextlib.suppress(WireError):
        decode_stun_untrusted(data)
