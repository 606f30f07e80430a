"""The sizes that are reckoned with are those of the real encoders and of a real TLS handshake."""

import ssl
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509

from caucase_ca.authority import generate_key, key_to_pem
from caucase_ca.policy import PrivateKey
from netns_lab.simulate import traffic
from netns_lab.simulate.rules.ours import NAMED_PEERS
from re6st_core.address import Endpoint, Protocol
from re6st_core.distance_wire import (
    DistanceAnswer,
    DistanceQuestion,
    NamedPeer,
    decode_answer_untrusted,
    encode_answer,
    encode_question,
)
from re6st_core.json_wire import encode_json
from re6st_core.peer_wire import Answer, Close, Offer, encode_signed
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import BootstrapRequest, EnrolRequest
from re6st_core.stun import BindingRequest, BindingSuccess, encode_request, encode_success
from re6stnet.engine.scouting import WIDTH
from registry.service import Registry
from tests.helpers.certs import TestCA
from tests.helpers.registry import make, new_token, now, request_pem

NONCE, KEY = "0123456789abcdef" * 2, "A" * 43 + "="
ENDPOINTS = tuple(Endpoint(IPv4Address("192.0.2.10"), 1194, protocol) for protocol in Protocol)


def about(size: int) -> object:
    """Signatures and certificates differ by some bytes."""
    return pytest.approx(size, rel=0.03, abs=3)


def enrolled(registry: Registry) -> tuple[PrivateKey, str]:
    """A node's key and its certificate, as our registry issues it."""
    key = generate_key()
    request = EnrolRequest(csr=request_pem(key), token=new_token(registry))
    return key, registry.enrol(request, now()).pem


def test_our_messages_are_as_long_as_said(tmp_path: Path) -> None:
    key, pem = enrolled(make(tmp_path / "registry"))
    certificate = x509.load_pem_x509_certificate(pem.encode())
    me, peer, soon = Prefix(16, 2), Prefix(16, 30003), 1_800_000_000
    offer = Offer(
        sender=me, recipient=peer, nonce=NONCE, expires=soon, transport="wireguard", public_key=KEY,
        endpoints=ENDPOINTS, source=ENDPOINTS[0],
    )  # fmt: skip
    answer = Answer(
        sender=me, recipient=peer, nonce=NONCE, expires=soon, public_key=KEY, endpoints=ENDPOINTS,
        source=ENDPOINTS[0],
    )  # fmt: skip
    refusal = Answer(
        sender=me, recipient=peer, nonce=NONCE, expires=soon, refusal="I hold 30 tunnels",
        alternatives=(Prefix(16, 40000),) * 4, endpoints=ENDPOINTS,
    )  # fmt: skip
    close = Close(sender=me, recipient=peer, nonce=NONCE, expires=soon, reason="replaced")
    sizes = [len(encode_signed(message, key, certificate)) for message in (offer, answer, refusal, close)]
    said = [traffic.OFFER, traffic.ANSWER, traffic.REFUSAL, traffic.CLOSE]
    assert said == [about(size) for size in sizes]


def test_our_questions_are_as_long_as_said() -> None:
    assert len(encode_json(BootstrapRequest(endpoints=ENDPOINTS))) == about(traffic.BOOTSTRAP)
    assert len(encode_json({"endpoints": ENDPOINTS})) == about(traffic.ENDPOINTS)
    assert len(encode_request(BindingRequest(b"t" * 12))) == about(traffic.STUN_REQUEST)
    assert len(encode_success(BindingSuccess(b"t" * 12, ENDPOINTS[0]))) == about(traffic.STUN_ANSWER)
    assert len(encode_question(DistanceQuestion(bytes(8), (1,) * WIDTH))) == traffic.DISTANCES_ASKED
    named = (NamedPeer(Prefix(16, 7), ENDPOINTS[0], True),) * 99
    answer = encode_answer(DistanceAnswer(bytes(8), (1,) * WIDTH, True, named), traffic.DISTANCES_ASKED)
    assert len(answer) == about(traffic.DISTANCES_ANSWERED)
    assert len(decode_answer_untrusted(answer).peers) >= NAMED_PEERS


Files = tuple[Path, Path]


def registrys_files(directory: Path) -> tuple[Path, list[Files]]:
    """The CA of our registry, and certificate and key of two of its nodes."""
    registry = make(directory / "registry")
    files = []
    for number in range(2):
        key, pem = enrolled(registry)
        names = directory / f"{number}.crt", directory / f"{number}.key"
        names[0].write_text(pem)
        names[1].write_bytes(key_to_pem(key))
        files.append(names)
    return directory / "registry" / "ca.crt", files


def re6sts_files(directory: Path) -> tuple[Path, list[Files]]:
    """The same with keys as re6st has them."""
    ca = TestCA(directory, kind="rsa")
    nodes = [ca.node(f"{number}/16") for number in range(2)]
    return ca.path, [(node.certificate, node.key) for node in nodes]


def test_our_handshake_is_as_long_as_said(tmp_path: Path) -> None:
    sent = handshake(*registrys_files(tmp_path), ssl.TLSVersion.TLSv1_3)
    assert [about(size) for size in sent] == [traffic.TLS_ASKED, traffic.TLS_ANSWERED]


def test_openvpns_handshake_is_as_long_as_said(tmp_path: Path) -> None:
    sent = handshake(*re6sts_files(tmp_path), ssl.TLSVersion.TLSv1_2)
    assert [about(size) for size in sent] == [traffic.OPENVPN_TLS_ASKED, traffic.OPENVPN_TLS_ANSWERED]


def handshake(ca: Path, files: list[Files], version: ssl.TLSVersion) -> tuple[int, int]:
    """Bytes of client and server, both with certificates."""
    contexts = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    contexts[0].check_hostname = False
    for context, (certificate, key) in zip(contexts, files, strict=True):
        context.maximum_version = version
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = contexts[0].wrap_bio(to_client, from_client := ssl.MemoryBIO())
    server = contexts[1].wrap_bio(to_server, from_server := ssl.MemoryBIO(), server_side=True)
    sent = [0, 0]
    for _ in range(4):
        for end, (side, out, into) in enumerate(
            [(client, from_client, to_server), (server, from_server, to_client)]
        ):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
            data = out.read()
            sent[end] += len(data)
            into.write(data)
    assert server.getpeercert()
    return sent[0], sent[1]


def test_routing_traffic_grows_with_tunnels_and_destinations() -> None:
    one = traffic.routing_bytes(tunnels=1, destinations=100, hello_s=4, round_s=160)
    # 40 hellos and 10 updates of 100 routes in 3 packets
    assert one == pytest.approx(40 * (112 + 14 + 26 / 3) + 10 * (100 * 28 + 3 * 112))
    assert traffic.routing_bytes(tunnels=20, destinations=100, hello_s=4, round_s=160) == pytest.approx(
        20 * one
    )
