"""Certificates for the tests of ``re6st_core``: a network's CA and its nodes, with keys that never change."""

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from re6st_core.prefix import Network, Prefix

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NETWORK = Network.parse("2001:db8:42::/48")


@cache
def ec_key(number: int) -> ec.EllipticCurvePrivateKey:
    """The P-256 key whose secret is ``number``: the same in every run."""
    return ec.derive_private_key(number, ec.SECP256R1())


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


CA_KEY, OTHER_CA_KEY, NODE_KEY, OTHER_NODE_KEY = map(ec_key, (1001, 1002, 1003, 1004))
CAKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def name(*common_names: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text) for text in common_names])


def make_ca(serial: int = NETWORK.ca_serial, key: CAKey = CA_KEY) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(name("test CA"))
        .issuer_name(name("test CA"))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(NOW - timedelta(days=365))
        .not_valid_after(NOW + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )


def make_node(
    *common_names: str,
    serial: int = 7,
    key: CAKey = NODE_KEY,
    ca_key: CAKey = CA_KEY,
    not_before: datetime = NOW - timedelta(days=2),
    not_after: datetime = NOW + timedelta(days=365),
) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(name(*common_names))
        .issuer_name(name("test CA"))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .sign(ca_key, hashes.SHA256())
    )


CA = make_ca()
NODE_PREFIX, OTHER_PREFIX = Prefix(16, 2), Prefix(16, 3)
NODE = make_node(NODE_PREFIX.cn)
