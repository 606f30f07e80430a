"""The address block that certificates carry."""

from ipaddress import IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caucase_ca.ip_blocks import decode_ip_block_untrusted, encode_ip_block
from re6st_core.errors import CertificateError

NETWORKS = st.builds(
    lambda value, length: IPv6Network((value >> (128 - length) << (128 - length), length)),
    st.integers(0, 2**128 - 1),
    st.integers(0, 128),
)


def test_a_prefix_that_ends_inside_a_byte() -> None:
    # 2001:0:200::/39 is also the example of RFC 3779 appendix B: BIT STRING 03 06 01 20 01 00 00 02
    der = encode_ip_block(IPv6Network("2001:0:200::/39"))
    assert der.hex() == "3010300e0402000230080306012001000002"


@given(NETWORKS)
def test_every_prefix_is_read_back(network: IPv6Network) -> None:
    assert decode_ip_block_untrusted(encode_ip_block(network)) == network


@given(st.binary(max_size=40))
def test_any_bytes_give_a_prefix_or_the_known_error(data: bytes) -> None:
    try:
        network = decode_ip_block_untrusted(data)
    except CertificateError:
        return
    assert encode_ip_block(network) == data


@given(NETWORKS, st.integers(0, 25), st.integers(0, 7))
def test_a_flipped_bit_gives_another_prefix_or_the_known_error(
    network: IPv6Network, at: int, bit: int
) -> None:
    data = bytearray(encode_ip_block(network))
    data[at % len(data)] ^= 1 << bit
    try:
        assert decode_ip_block_untrusted(bytes(data)) != network
    except CertificateError:
        return


def test_bits_beyond_the_prefix_are_refused() -> None:
    der = bytearray(encode_ip_block(IPv6Network("2001:db8::/31")))
    der[-1] |= 1
    with pytest.raises(CertificateError):
        decode_ip_block_untrusted(bytes(der))
