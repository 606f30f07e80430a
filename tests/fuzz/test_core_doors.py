"""Whatever arrives, each decoder of ``re6st_core`` returns a valid message or raises its one known error."""

import base64
import contextlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from re6st_core import peer_wire, registry_wire
from re6st_core.address import Endpoint, decode_endpoint_untrusted, decode_endpoints_untrusted
from re6st_core.distance_wire import (
    MAX_DATAGRAM,
    DistanceAnswer,
    DistanceQuestion,
    NamedPeer,
    decode_answer_untrusted,
    decode_question_untrusted,
    encode_answer,
    encode_question,
)
from re6st_core.errors import CertificateError, WireError
from re6st_core.http_date import decode_http_date_untrusted, http_date
from re6st_core.identity import check_fingerprint, load_certificate_untrusted, verify_node_certificate
from re6st_core.json_wire import decode_json_untrusted, encode_json
from re6st_core.mac_key import decode_key_untrusted, decode_wanted_untrusted
from re6st_core.netparams import (
    NetworkParameters,
    SignedParameters,
    sign_parameters,
    verify_parameters_untrusted,
)
from re6st_core.peer_wire import decode_signed_untrusted, encode_signed
from re6st_core.prefix import Network, Prefix
from re6st_core.signature import sign
from re6st_core.spread_wire import decode_told_untrusted
from tests.helpers.core_certificates import CA, CA_KEY, NODE, NODE_KEY, NODE_PREFIX, NOW, OTHER_PREFIX

# cryptography warns of what it will refuse later; only errors count here.
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")

DER, PEM = NODE.public_bytes(Encoding.DER), NODE.public_bytes(Encoding.PEM)
OFFER = {
    "sender": NODE_PREFIX.cn,
    "recipient": OTHER_PREFIX.cn,
    "nonce": "0" * 32,
    "expires": int(NOW.timestamp()),
    "transport": "openvpn",
    "public_key": "",
    "endpoints": ["203.0.113.5,1194,udp"],
    "source": None,
    "mtu": 1400,
}
SIGNED = encode_signed(
    peer_wire.Close(sender=NODE_PREFIX, recipient=OTHER_PREFIX, nonce="0" * 32, expires=int(NOW.timestamp())),
    NODE_KEY,
    NODE,
)
PARAMETERS = json.loads(json.dumps({"version": 1, "hello_s": 1.0, "client_count": 3, "revoked": [7]}))

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
nearly_endpoints = st.lists(
    st.text("0123456789abcdef:.%,;udptcp46FR ", max_size=50) | st.text(max_size=10), max_size=5
).map(",".join)
nearly_prefixes = st.text("0123456789/+-_ \n٢", max_size=50) | st.text(max_size=10)


@st.composite
def damaged(draw: st.DrawFn, *originals: bytes) -> bytes:
    """One of the originals with a few bytes changed, cut out or put in."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 8)))
        data[start:end] = draw(st.binary(max_size=8))
    return bytes(data)


@st.composite
def altered(draw: st.DrawFn, original: dict[str, Any]) -> dict[str, Any]:
    """The original object with some members replaced by any JSON value, or left out."""
    changed = dict(original)
    for member in draw(st.sets(st.sampled_from(sorted(original)), max_size=3)):
        if draw(st.booleans()):
            changed[member] = draw(json_values)
        else:
            del changed[member]
    return changed


DISTANCES = DistanceQuestion(bytes(8), (1, 2, 3))
TOLD = DistanceAnswer(
    bytes(8),
    (5, 65535),
    True,
    (NamedPeer(NODE_PREFIX, decode_endpoint_untrusted("192.0.2.1,1194,udp,FR"), True),),
)


@given(st.binary() | damaged(encode_question(DISTANCES), encode_answer(TOLD, 200)))
def test_distances(data: bytes) -> None:
    with contextlib.suppress(WireError):
        question = decode_question_untrusted(data)
        assert encode_question(question) == data
    with contextlib.suppress(WireError):
        answer = decode_answer_untrusted(data)
        assert decode_answer_untrusted(encode_answer(answer, MAX_DATAGRAM)) == answer


@given(st.text() | nearly_endpoints)
def test_endpoints(text: str) -> None:
    with contextlib.suppress(WireError):
        assert decode_endpoint_untrusted(text).port
    with contextlib.suppress(WireError):
        assert all(isinstance(one, Endpoint) for one in decode_endpoints_untrusted(text))


@given(nearly_prefixes)
def test_prefixes_and_networks(text: str) -> None:
    with contextlib.suppress(WireError):
        assert Prefix.from_cn(text).cn == text
    with contextlib.suppress(WireError):
        assert Prefix.from_bits(text).bits == text
    with contextlib.suppress(WireError):
        Network.parse(text)


@given(st.integers(min_value=0))
def test_ca_serials(serial: int) -> None:
    with contextlib.suppress(WireError):
        assert Network.from_ca_serial(serial).ca_serial == serial


@given(st.binary() | damaged(DER, PEM))
def test_certificates(data: bytes) -> None:
    with contextlib.suppress(CertificateError):
        certificate = load_certificate_untrusted(data)
        with contextlib.suppress(CertificateError):
            check_fingerprint(certificate, "sha256:00")
        verify_node_certificate(certificate, CA, now=NOW)


@given(st.text() | damaged(b"Sun, 06 Nov 1994 08:49:37 GMT").map(lambda data: data.decode("latin-1")))
def test_dates_of_http(text: str) -> None:
    with contextlib.suppress(WireError):
        assert http_date(decode_http_date_untrusted(text))[5:] == text[5:]


@given(st.binary() | altered({"version": 3, "signed": {"body": "", "signature": ""}}).map(encode_json))
def test_what_neighbours_tell_of_parameters(data: bytes) -> None:
    with contextlib.suppress(WireError):
        assert decode_told_untrusted(data).version > 0


@given(st.binary() | altered({"epoch": 3, "key": "0" * 64}).map(encode_json))
def test_keys_and_questions_for_them(data: bytes) -> None:
    with contextlib.suppress(WireError):
        assert decode_wanted_untrusted(data) > 0
    with contextlib.suppress(WireError):
        assert len(decode_key_untrusted(data, 3)) == 32


@given(st.text())
def test_fingerprints(expected: str) -> None:
    with pytest.raises(CertificateError):
        check_fingerprint(CA, expected)


@pytest.mark.parametrize(
    "kind",
    [
        NetworkParameters,
        SignedParameters,
        peer_wire.Offer,
        peer_wire.Answer,
        peer_wire.Close,
        registry_wire.EnrolRequest,
        registry_wire.RenewRequest,
        registry_wire.CertificateResponse,
        registry_wire.BootstrapRequest,
        registry_wire.BootstrapResponse,
        registry_wire.RelayFrame,
        registry_wire.Problem,
    ],
)
@given(
    data=st.binary()
    | json_values.map(lambda value: json.dumps(value).encode())
    | altered(OFFER | {"csr": "x", "peer": "2/16", "version": 1}).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_json(kind: type[object], data: bytes) -> None:
    with contextlib.suppress(WireError):
        assert isinstance(decode_json_untrusted(kind, data), kind)


@given(st.text(), st.text())
def test_parameters_of_any_text(body: str, signature: str) -> None:
    with pytest.raises(WireError):
        verify_parameters_untrusted(SignedParameters(body, signature), CA)


@given(st.binary() | damaged(base64.b64decode(sign_parameters(NetworkParameters(version=1), CA_KEY).body)))
def test_parameters_that_the_ca_signed_whatever_they_are(body: bytes) -> None:
    signature = sign(CA_KEY, b"re6st network parameters v1\0" + body)
    signed = SignedParameters(base64.b64encode(body).decode(), base64.b64encode(signature).decode())
    with contextlib.suppress(WireError):
        assert not verify_parameters_untrusted(signed, CA).problems()


@given(altered(PARAMETERS))
def test_parameters_with_any_members(members: dict[str, Any]) -> None:
    body = json.dumps(members).encode()
    signature = sign(CA_KEY, b"re6st network parameters v1\0" + body)
    signed = SignedParameters(base64.b64encode(body).decode(), base64.b64encode(signature).decode())
    with contextlib.suppress(WireError):
        assert not verify_parameters_untrusted(signed, CA).problems()


def receive(data: bytes) -> None:
    """Decode for ``OTHER_PREFIX``; only a WireError is allowed."""
    with contextlib.suppress(WireError):
        message, identity = decode_signed_untrusted(
            data, ca=CA, recipient=OTHER_PREFIX, revoked=frozenset(), now=NOW
        )
        assert (message.sender, message.recipient) == (identity.prefix, OTHER_PREFIX)


@given(
    st.binary() | damaged(SIGNED) | altered(json.loads(SIGNED)).map(lambda value: json.dumps(value).encode())
)
def test_peer_messages(data: bytes) -> None:
    receive(data)


@given(
    st.binary()
    | json_values.map(lambda value: json.dumps(value).encode())
    | altered(OFFER).map(lambda offer: json.dumps({"kind": "offer", "offer": offer}).encode())
)
def test_peer_messages_that_a_node_signed_whatever_they_are(body: bytes) -> None:
    parts = {
        "certificate": DER,
        "body": body,
        "signature": sign(NODE_KEY, b"re6st tunnel negotiation v1\0" + body),
    }
    receive(json.dumps({name: base64.b64encode(part).decode() for name, part in parts.items()}).encode())


@given(damaged(DER))
def test_peer_messages_with_a_damaged_certificate(der: bytes) -> None:
    receive(json.dumps(json.loads(SIGNED) | {"certificate": base64.b64encode(der).decode()}).encode())
