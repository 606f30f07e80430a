"""What certificates contain, and which requests are refused."""

import base64
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from caucase_ca import policy
from caucase_ca.authority import Authority, generate_key
from caucase_ca.ip_blocks import IP_ADDR_BLOCKS, decode_ip_block_untrusted
from re6st_core.errors import CertificateError, ConfigError
from re6st_core.prefix import Network, Prefix
from tests.helpers.registry import NETWORK, now, request_for

CA = Authority.create(NETWORK, now=now())
PREFIX = Prefix.from_cn("2/16")


def signed(key: object, algorithm: hashes.HashAlgorithm | None = None) -> x509.CertificateSigningRequest:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, algorithm)  # type: ignore[arg-type]  # also keys that nobody should use


def issue(csr: x509.CertificateSigningRequest | None = None) -> x509.Certificate:
    csr = csr or request_for(generate_key())
    return CA.issue_node(csr, PREFIX, number=7, serial=3, now=now())


def test_a_node_has_its_prefix_number_and_address() -> None:
    certificate = issue()
    names = {name.oid: name.value for name in certificate.subject}
    assert names == {NameOID.COMMON_NAME: "2/16", NameOID.SERIAL_NUMBER: "7"}
    alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(a) for a in alternative.get_values_for_type(x509.IPAddress)] == ["2001:db8:42:2::1"]
    block = certificate.extensions.get_extension_for_oid(IP_ADDR_BLOCKS).value
    assert isinstance(block, x509.UnrecognizedExtension)
    assert decode_ip_block_untrusted(block.value) == NETWORK.subnet(PREFIX)


def test_nothing_is_taken_from_the_request_but_its_key() -> None:
    key = generate_key()
    names = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "0/16")])
    other = x509.SubjectAlternativeName([x509.DNSName("registry.example")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(names).add_extension(other, critical=True)
    certificate = issue(builder.sign(key, hashes.SHA256()))
    assert certificate.public_key() == key.public_key()
    assert b"registry.example" not in certificate.public_bytes(Encoding.DER)
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "2/16"


def test_validity_starts_two_days_ago_and_never_outlasts_the_ca() -> None:
    certificate = issue()
    assert now() - certificate.not_valid_before_utc >= policy.BACK_DATED
    late = CA.certificate.not_valid_after_utc - policy.NODE_LIFETIME / 2
    last = CA.issue_node(request_for(generate_key()), PREFIX, number=0, serial=3, now=late)
    assert last.not_valid_after_utc == CA.certificate.not_valid_after_utc


def test_a_ca_without_address_block_gives_none_to_its_nodes() -> None:
    # a network imported from re6st: its CA certificate has no extensions at all
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "old network")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(NETWORK.ca_serial).not_valid_before(now()).not_valid_after(now())
    old = Authority(builder.sign(key, hashes.SHA256()), key)
    certificate = old.issue_node(request_for(generate_key()), PREFIX, number=0, serial=1, now=now())
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_oid(IP_ADDR_BLOCKS)
    certificate.verify_directly_issued_by(old.certificate)


@pytest.mark.parametrize(
    "make",
    [
        lambda: signed(ec.generate_private_key(ec.SECP521R1()), hashes.SHA256()),
        lambda: signed(ec.generate_private_key(ec.SECP256K1()), hashes.SHA256()),
        lambda: signed(rsa.generate_private_key(65537, 1024), hashes.SHA256()),
        lambda: signed(rsa.generate_private_key(3, 2048), hashes.SHA256()),
        lambda: signed(ed25519.Ed25519PrivateKey.generate()),
        lambda: signed(dsa.generate_private_key(2048), hashes.SHA256()),
    ],
    ids=["P-521", "secp256k1", "RSA 1024", "RSA exponent 3", "Ed25519", "DSA"],
)
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_keys_of_other_kinds_are_refused(make: Callable[[], x509.CertificateSigningRequest]) -> None:
    with pytest.raises(CertificateError):
        policy.check_request(make())


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_the_curves_of_the_network_are_accepted(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    assert policy.check_request(request_for(key)) == key.public_key()


def test_a_request_signed_by_another_key_is_refused() -> None:
    der = bytearray(request_for(generate_key()).public_bytes(Encoding.DER))
    der[-1] ^= 1
    with pytest.raises(CertificateError, match="not signed"):
        policy.check_request(x509.load_der_x509_csr(bytes(der)))


def test_a_request_of_an_unknown_version_is_refused() -> None:
    der = request_for(generate_key()).public_bytes(Encoding.DER)
    start = der.index(b"\x02\x01\x00")  # the version: the first INTEGER
    text = base64.b64encode(der[:start] + b"\x02\x01\x0a" + der[start + 3 :]).decode()
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(CertificateError, match="version"):
        policy.load_request_untrusted(pem)


@pytest.mark.parametrize("name", ["registry.example", "a", "192.0.2.1", "2001:db8::1", "x-1.example"])
def test_names_of_hosts(name: str) -> None:
    assert policy.general_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "-a", "a-", "a..b", "a b", "a.example/", "1.2.3", "300.1.2.3", "x" * 64, "é.example", "*.example"],
)
def test_what_is_no_name_of_a_host(name: str) -> None:
    with pytest.raises(ConfigError):
        policy.general_name(name)


def test_the_certificate_of_the_registry_is_never_that_of_a_node() -> None:
    content = policy.server_content(CA.certificate, ["registry.example"], generate_key().public_key(), now())
    assert content.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == policy.SERVER_CN


def test_a_whole_network_may_be_as_small_as_fd00_8() -> None:
    small = Authority.create(Network.parse("fd00::/8"), now=now())
    with pytest.raises(CertificateError, match="CA's own"):
        small.issue_node(request_for(generate_key()), PREFIX, number=0, serial=0x1FD, now=now())
