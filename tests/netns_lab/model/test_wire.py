"""Sizes that the model counts with, held against the real encoders and a real TLS handshake."""

import base64
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from netns_lab.model import wire
from re6st_core.address import Endpoint, Protocol
from re6st_core.json_wire import encode_json
from re6st_core.netparams import NetworkParameters, sign_parameters
from re6st_core.peer_wire import OPENVPN, WIREGUARD, Answer, Close, Message, Offer, encode_signed
from re6st_core.prefix import Prefix
from tests.helpers.core_certificates import ec_key
from tests.helpers.node_certificates import authority, load, write_node

ENDPOINTS = tuple(Endpoint(ipaddress.ip_address("198.51.100.7"), 1194, p) for p in Protocol)
A, B = Prefix(16, 1), Prefix(16, 2)
NONCE, KEY = "a" * 32, base64.b64encode(b"k" * 32).decode()

MESSAGES: list[Message] = [
    Offer(
        sender=A, recipient=B, nonce=NONCE, expires=0, transport=WIREGUARD, public_key=KEY,
        endpoints=ENDPOINTS, source=ENDPOINTS[0],
    ),
    Offer(sender=A, recipient=B, nonce=NONCE, expires=0, transport=OPENVPN),
    Answer(sender=B, recipient=A, nonce=NONCE, expires=0, public_key=KEY, endpoints=ENDPOINTS),
    Answer(sender=B, recipient=A, nonce=NONCE, expires=0, refusal="I hold 40 tunnels", alternatives=(A, B)),
    Close(sender=A, recipient=B, nonce=NONCE, expires=0, reason="replaced"),
]  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_an_envelope_has_the_size_of_a_real_one(message: Message, tmp_path: Path) -> None:
    node = load(write_node(tmp_path, authority(), A))
    real = len(encode_signed(message, node.key, node.identity.certificate))
    # Signatures in DER differ by a byte or two, and so do certificates; the expiry here has one digit.
    assert wire.envelope_size(message) == pytest.approx(real, abs=24)


def test_tls_costs_what_a_real_handshake_does(tmp_path: Path) -> None:
    ca = authority()
    client, server = (
        load(write_node(tmp_path, ca, prefix, serial)) for serial, prefix in enumerate((A, B), 1)
    )
    name = str(server.identity.network.address(B))
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.client_context().wrap_bio(to_client, out_c := ssl.MemoryBIO(), server_hostname=name),
        server.server_context().wrap_bio(to_server, out_s := ssl.MemoryBIO(), server_side=True),
    )
    sizes = [0, 0]
    for _ in range(6):
        for side, (end, out, into) in enumerate(((ends[0], out_c, to_server), (ends[1], out_s, to_client))):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
            data = out.read()
            sizes[side] += len(data)
            into.write(data)
    assert sizes == pytest.approx([wire.TLS_CLIENT, wire.TLS_SERVER], rel=0.05)
    ends[0].write(b"x" * 1000)
    assert len(out_c.read()) == 1000 + wire.TLS_RECORD


def test_a_certificate_and_the_parameters_have_their_real_sizes(tmp_path: Path) -> None:
    node = load(write_node(tmp_path, authority(), A))
    assert len(node.identity.certificate.public_bytes(Encoding.DER)) == pytest.approx(
        wire.CERTIFICATE, abs=16
    )
    key = ec_key(1)
    signed = encode_json(sign_parameters(NetworkParameters(version=1), key))
    assert len(signed) == pytest.approx(wire.PARAMETERS, abs=8)


def test_stun_is_small_and_answers_are_no_larger_than_questions() -> None:
    assert (wire.STUN_REQUEST, wire.STUN_ANSWER) == (28 + 52, 28 + 40)


def test_more_than_a_segment_needs_more_headers() -> None:
    assert wire.over_tls(100) == 100 + wire.TLS_RECORD + wire.IP_TCP
    assert wire.over_tls(3000) == 3000 + wire.TLS_RECORD + 3 * wire.IP_TCP


def test_wireguard_pads_to_sixteen() -> None:
    sizes = {
        wire.babel_packet(tlvs, openvpn=False) for tlvs in range(wire.BABEL_HELLO, wire.BABEL_HELLO + 14)
    }
    assert len(sizes) == 1
    assert wire.babel_packet(20, openvpn=True) > wire.babel_packet(20, openvpn=False)


def test_the_ledger_sums_by_node_and_purpose() -> None:
    ledger = wire.Ledger()
    ledger.add("n1", "stun", 80)
    ledger.add("n1", "babel", 100.4)
    ledger.add("n2", "babel", 100)
    assert (ledger.total("n1"), ledger.total("n2"), ledger.total("n3")) == (180, 100, 0)
    assert ledger.by_purpose() == {"stun": 80, "babel": 200}
