"""Any bytes from STUN, wireguard-go or OpenVPN give a message or WireError, nothing else."""

import contextlib
import struct

from hypothesis import given
from hypothesis import strategies as st

from re6st_core.errors import WireError
from re6st_core.netlink_wire import (
    attribute,
    decode_attributes_untrusted,
    decode_messages_untrusted,
    decode_u32_untrusted,
)
from re6st_core.stun import decode_stun_untrusted
from re6stnet.adapters.openvpn_management import decode_status_untrusted
from re6stnet.adapters.wireguard_kernel import decode_device_untrusted
from re6stnet.adapters.wireguard_uapi import decode_answer_untrusted

attributes = st.lists(
    st.tuples(st.sampled_from([0x20, 0x8022, 0x8028, 0x26]), st.binary(max_size=24)).map(
        lambda item: struct.pack("!HH", item[0], len(item[1])) + item[1] + bytes(-len(item[1]) % 4)
    )
).map(b"".join)


@given(st.sampled_from([0x0001, 0x0101]), attributes, st.binary(min_size=12, max_size=12))
def test_stun_of_any_attributes(kind: int, body: bytes, transaction: bytes) -> None:
    with contextlib.suppress(WireError):
        decode_stun_untrusted(struct.pack("!HHI12s", kind, len(body), 0x2112A442, transaction) + body)


@given(st.binary())
def test_stun_of_any_bytes(data: bytes) -> None:
    with contextlib.suppress(WireError):
        decode_stun_untrusted(data)


names = st.sampled_from([b"errno", b"rx_bytes", b"listen_port", b"endpoint", b""])


@given(st.lists(st.tuples(names, st.binary(max_size=30)).map(b"=".join)).map(b"\n".join) | st.binary())
def test_wireguard_answer_of_any_lines(data: bytes) -> None:
    with contextlib.suppress(WireError):
        decode_answer_untrusted(data)


@given(st.lists(st.text(max_size=12) | st.integers().map(str)).map("\t".join))
def test_openvpn_status_of_any_fields(rest: str) -> None:
    with contextlib.suppress(WireError):
        decode_status_untrusted("CLIENT_LIST\t" + rest)


@given(st.binary())
def test_netlink_of_any_bytes(data: bytes) -> None:
    for decode in (decode_attributes_untrusted, decode_u32_untrusted, decode_device_untrusted):
        with contextlib.suppress(WireError):
            decode(data)
    with contextlib.suppress(WireError):
        list(decode_messages_untrusted(data))


kernel_s_attributes = st.recursive(
    st.binary(max_size=20),
    lambda inner: st.lists(st.tuples(st.integers(0, 10), inner), max_size=3).map(
        lambda pairs: b"".join(attribute(*pair) for pair in pairs)
    ),
)


@given(kernel_s_attributes)
def test_device_of_any_attributes(data: bytes) -> None:
    with contextlib.suppress(WireError):
        decode_device_untrusted(bytes(4) + data)
