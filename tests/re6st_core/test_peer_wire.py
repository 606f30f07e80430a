"""A tunnel message is believed only from whom it names, for us, in time; every manipulation is refused."""

import base64
import json
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from re6st_core.address import MAX_ENDPOINTS, Endpoint, Protocol
from re6st_core.errors import WireError
from re6st_core.peer_wire import (
    LIFETIME,
    MAX_MESSAGE,
    MAX_MTU,
    MAX_REASON,
    MIN_MTU,
    OPENVPN,
    WIREGUARD,
    Answer,
    Close,
    Message,
    Offer,
    decode_signed_untrusted,
    encode_signed,
    is_nonce,
    is_wireguard_key,
)
from re6st_core.prefix import Prefix
from re6st_core.signature import sign
from tests.helpers.core_certificates import (
    CA,
    NODE,
    NODE_KEY,
    NODE_PREFIX,
    NOW,
    OTHER_CA_KEY,
    OTHER_NODE_KEY,
    OTHER_PREFIX,
    make_node,
    rsa_key,
)
from tests.helpers.core_strategies import endpoint_lists, endpoints, prefixes

CONTEXT = b"re6st tunnel negotiation v1\0"
NONCE = "0123456789abcdef" * 2
PUBLIC_KEY = base64.b64encode(bytes(range(32))).decode()
EXPIRES = int((NOW + LIFETIME).timestamp())
ENDPOINT = Endpoint(ip_address("203.0.113.5"), 1194, Protocol.UDP)
OFFER = Offer(
    sender=NODE_PREFIX,
    recipient=OTHER_PREFIX,
    nonce=NONCE,
    expires=EXPIRES,
    transport=WIREGUARD,
    public_key=PUBLIC_KEY,
    endpoints=(ENDPOINT,),
    source=ENDPOINT,
    mtu=1400,
)
ANSWER = Answer(
    sender=NODE_PREFIX, recipient=OTHER_PREFIX, nonce=NONCE, expires=EXPIRES, public_key=PUBLIC_KEY
)
CLOSE = Close(sender=NODE_PREFIX, recipient=OTHER_PREFIX, nonce=NONCE, expires=EXPIRES, reason="replaced")


def decode(data: bytes, **changes: Any) -> Message:
    """What ``OTHER_PREFIX`` makes of ``data``."""
    arguments: dict[str, Any] = {"ca": CA, "recipient": OTHER_PREFIX, "revoked": frozenset(), "now": NOW}
    return decode_signed_untrusted(data, **arguments | changes)[0]


def send(message: Message, key: Any = NODE_KEY, certificate: x509.Certificate = NODE) -> bytes:
    return encode_signed(message, key, certificate)


def sealed(body: object) -> bytes:
    """An envelope with a right signature of ``NODE`` around any JSON body."""
    data = json.dumps(body).encode()
    return json.dumps(
        {
            "certificate": base64.b64encode(NODE.public_bytes(Encoding.DER)).decode(),
            "body": base64.b64encode(data).decode(),
            "signature": base64.b64encode(sign(NODE_KEY, CONTEXT + data)).decode(),
        }
    ).encode()


common = {
    "sender": st.just(NODE_PREFIX),
    "recipient": st.just(OTHER_PREFIX),
    "nonce": st.text("0123456789abcdef", min_size=32, max_size=32),
    "expires": st.integers(int(NOW.timestamp()), EXPIRES),
}
links: dict[str, Any] = {
    "endpoints": endpoint_lists(),
    "source": st.none() | endpoints(),
    "mtu": st.integers(MIN_MTU, MAX_MTU),
}
keys = st.binary(min_size=32, max_size=32).filter(any).map(lambda raw: base64.b64encode(raw).decode())
short_text = st.text(max_size=MAX_REASON)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Offer, **common, **links, transport=st.just(WIREGUARD), public_key=keys),
    st.builds(Offer, **common, **links, transport=st.just(OPENVPN), public_key=st.just("")),
    st.builds(
        Answer,
        **common,
        **links,
        refusal=short_text,
        alternatives=st.lists(prefixes(), max_size=4).map(tuple),
        public_key=keys | st.just(""),
    ),
    st.builds(Close, **common, reason=short_text),
)


@given(messages)
def test_every_message_reads_back_and_fits(message: Message) -> None:
    data = send(message)
    assert len(data) <= MAX_MESSAGE
    assert decode(data) == message


def test_the_sender_is_identified() -> None:
    _, identity = decode_signed_untrusted(
        send(OFFER), ca=CA, recipient=OTHER_PREFIX, revoked=frozenset(), now=NOW
    )
    assert identity.prefix == NODE_PREFIX
    assert identity.certificate == NODE


def test_a_node_with_an_rsa_key_signs_too() -> None:
    assert decode(send(OFFER, rsa_key(), make_node("2/16", key=rsa_key()))) == OFFER


@given(messages, st.data())
def test_no_byte_of_a_message_can_be_changed(message: Message, data: st.DataObject) -> None:
    sent = bytearray(send(message))
    # Signatures differ in length from run to run: what is drawn must not depend on it.
    position = data.draw(st.integers(0, 0xFFFF)) % len(sent)
    sent[position] ^= data.draw(st.integers(1, 255))
    try:
        received = decode(bytes(sent))
    except WireError:
        return
    # A change that is accepted (a space for another, unused bits of base64) changes no meaning.
    assert received == message


@given(messages, messages)
def test_parts_of_two_messages_do_not_combine(one: Message, other: Message) -> None:
    first, second = json.loads(send(one)), json.loads(send(other))
    if first["body"] == second["body"]:
        return
    for mixed in (first | {"body": second["body"]}, first | {"signature": second["signature"]}):
        with pytest.raises(WireError, match="signature"):
            decode(json.dumps(mixed).encode())


def test_the_certificate_of_another_node_does_not_fit() -> None:
    other = make_node(NODE_PREFIX.cn, key=OTHER_NODE_KEY)
    with pytest.raises(WireError, match="signature"):
        decode(send(OFFER, NODE_KEY, other))


def test_a_node_cannot_speak_for_another() -> None:
    with pytest.raises(WireError, match="was sent by 9/16"):
        decode(send(OFFER, NODE_KEY, make_node("9/16")))


def test_a_message_cannot_be_shown_to_somebody_else() -> None:
    with pytest.raises(WireError, match="to 3/16"):
        decode(send(OFFER), recipient=Prefix(16, 4))


def test_a_signature_over_the_bare_body_is_not_enough() -> None:
    envelope = json.loads(send(OFFER))
    body = base64.b64decode(envelope["body"])
    envelope["signature"] = base64.b64encode(sign(NODE_KEY, body)).decode()
    with pytest.raises(WireError, match="signature"):
        decode(json.dumps(envelope).encode())


def test_a_certificate_of_another_ca_is_refused() -> None:
    with pytest.raises(WireError, match="not issued by"):
        decode(send(OFFER, NODE_KEY, make_node("2/16", ca_key=OTHER_CA_KEY)))


def test_an_expired_certificate_is_refused() -> None:
    old = make_node("2/16", not_after=NOW - timedelta(seconds=1))
    with pytest.raises(WireError, match="expired"):
        decode(send(OFFER, NODE_KEY, old))


def test_a_revoked_certificate_is_refused() -> None:
    with pytest.raises(WireError, match="revoked"):
        decode(send(OFFER), revoked=frozenset({NODE.serial_number}))


def test_the_certificate_of_the_registry_is_no_node() -> None:
    with pytest.raises(WireError, match="not a node"):
        decode(send(OFFER, NODE_KEY, make_node("registry.example")))


def test_a_message_lives_from_its_making_to_its_expiry() -> None:
    data = send(OFFER)
    assert decode(data, now=NOW + LIFETIME) == OFFER
    with pytest.raises(WireError, match="expiry"):
        decode(data, now=NOW + LIFETIME + timedelta(seconds=1))


def test_a_message_cannot_claim_a_long_life() -> None:
    limit = int((NOW + 2 * LIFETIME).timestamp())
    assert decode(send(replace(OFFER, expires=limit)))
    with pytest.raises(WireError, match="expiry"):
        decode(send(replace(OFFER, expires=limit + 1)))


@pytest.mark.parametrize("expires", [-1, 0, 2**62, -(2**62)])
def test_an_impossible_expiry_is_refused(expires: int) -> None:
    with pytest.raises(WireError, match="expiry"):
        decode(send(replace(OFFER, expires=expires)))


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": ""},
        {"nonce": NONCE.upper()},
        {"nonce": NONCE + "0"},
        {"mtu": MIN_MTU - 1},
        {"mtu": MAX_MTU + 1},
        {"endpoints": (ENDPOINT,) * (MAX_ENDPOINTS + 1)},
        {"public_key": "AAAA"},
        {"public_key": base64.b64encode(bytes(32)).decode()},
        {"public_key": "é" * 44},
        {"public_key": ""},
        {"transport": "pigeon"},
        {"transport": OPENVPN},
    ],
)
def test_an_offer_out_of_limits_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        decode(send(replace(OFFER, **change)))


@pytest.mark.parametrize(
    "message",
    [
        replace(ANSWER, refusal="x" * (MAX_REASON + 1)),
        replace(ANSWER, alternatives=(Prefix(16, 4),) * (MAX_ENDPOINTS + 1)),
        replace(ANSWER, mtu=0),
        replace(CLOSE, reason="x" * (MAX_REASON + 1)),
        replace(CLOSE, nonce="x"),
    ],
)
def test_other_messages_out_of_limits_are_refused(message: Message) -> None:
    with pytest.raises(WireError):
        decode(send(message))


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "offer",
        {"kind": "offer"},
        {"kind": "offer", "offer": None},
        {"kind": "bye"},
        {"kind": "close", "offer": {}},
    ],
)
def test_a_signed_body_that_is_no_message_is_refused(body: object) -> None:
    with pytest.raises(WireError):
        decode(sealed(body))


def test_a_message_too_long_is_refused_before_any_check() -> None:
    with pytest.raises(WireError, match="bytes"):
        decode(b" " * (MAX_MESSAGE + 1))


@given(st.text(max_size=40))
def test_a_nonce_is_32_lower_case_hexadecimal_digits(text: str) -> None:
    assert is_nonce(text) == (len(text) == 32 and all(digit in "0123456789abcdef" for digit in text))


@given(st.binary(max_size=40))
def test_a_wireguard_key_is_32_bytes_and_not_zero(raw: bytes) -> None:
    assert is_wireguard_key(base64.b64encode(raw).decode()) == (len(raw) == 32 and any(raw))
    assert not is_wireguard_key("not base64 at all !")
