"""A network's CA and node certificates on disk, valid now, for programs that read files."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from re6st_core.prefix import Network, Prefix

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class NodeFiles:
    """What one node has."""

    ca: Path
    certificate: Path
    key: Path
    serial: int


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key(kind: str) -> Key:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1())


@dataclass
class TestCA:
    """The CA of a network, with its nodes' files under ``directory``; ``kind``: "ec" or "rsa"."""

    __test__ = False
    directory: Path
    kind: str = "ec"
    network: Network = field(default_factory=lambda: Network.parse("2001:db8:42::/48"))
    _last_serial: int = 100

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.key = _key(self.kind)
        builder = self._builder("test CA", self.network.ca_serial, self.key)
        self.certificate = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True).sign(
            self.key, hashes.SHA256()
        )
        self.path = self.directory / "ca.crt"
        self.path.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def node(self, cn: str) -> NodeFiles:
        """Issue a certificate for ``INT/LEN`` and write it with its key."""
        key = _key(self.kind)
        self._last_serial += 1
        address = IPv6Address(self.network.address(Prefix.from_cn(cn)))
        usage = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        flags = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign",
             "crl_sign", "encipher_only", "decipher_only"), False,
        )  # fmt: skip
        certificate = (
            self._builder(cn, self._last_serial, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
            .add_extension(x509.KeyUsage(digital_signature=True, **flags), True)
            .add_extension(x509.ExtendedKeyUsage(usage), False)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(address)]), False)
            .sign(self.key, hashes.SHA256())
        )
        stem = self.directory / cn.replace("/", "-")
        files = NodeFiles(self.path, stem.with_suffix(".crt"), stem.with_suffix(".key"), self._last_serial)
        files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        files.key.chmod(0o600)
        return files

    def _builder(self, cn: str, serial: int, key: Key) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(_name(cn))
            .issuer_name(_name("test CA"))
            .public_key(key.public_key())
            .serial_number(serial)
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=30))
        )
