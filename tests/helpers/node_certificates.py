"""Credentials of nodes of a test network, issued by the real authority, as files."""

from datetime import UTC, datetime
from ipaddress import IPv6Network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from caucase_ca.authority import Authority
from caucase_ca.policy import PrivateKey
from re6st_core.prefix import Network, Prefix
from re6stnet.adapters.credentials import Credentials

NETWORK = Network(IPv6Network("2001:db8:42::/48"))


def authority(network: Network = NETWORK) -> Authority:
    """A new CA."""
    return Authority.create(network, now=datetime.now(UTC))


def write_node(
    directory: Path, ca: Authority, prefix: Prefix, serial: int = 1, *, now: datetime | None = None
) -> Path:
    """Files ``ca.crt``, ``cert.crt`` and ``cert.key`` of a node in a directory of its own."""
    here = directory / prefix.cn.replace("/", "-")
    here.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    (here / "ca.crt").write_bytes(ca.certificate_pem)
    certificate = issue(ca, key, prefix, serial, now=now)
    (here / "cert.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (here / "cert.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return here


def issue(
    ca: Authority, key: PrivateKey, prefix: Prefix, serial: int, *, now: datetime | None = None
) -> x509.Certificate:
    """A certificate for this key; ``now``: when it is issued."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return ca.issue_node(request, prefix, serial=serial, number=serial, now=now or datetime.now(UTC))


def load(here: Path) -> Credentials:
    """What :func:`write_node` wrote, checked."""
    return Credentials(here / "ca.crt", here / "cert.crt", here / "cert.key")
