"""The authority of one network: a key and its certificate, which sign what :mod:`caucase_ca.policy` says."""

from collections.abc import Iterable
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from caucase_ca import policy
from caucase_ca.policy import Content, PrivateKey, PublicKey
from re6st_core.errors import CertificateError, ConfigError
from re6st_core.identity import load_certificate_untrusted, network_of_ca
from re6st_core.prefix import Network, Prefix

_HASH = hashes.SHA256()


def generate_key(rsa_bits: int | None = None) -> PrivateKey:
    """A new private key: EC P-256, or RSA of this size.  Raises ConfigError for a size out of bounds."""
    if rsa_bits is None:
        return ec.generate_private_key(ec.SECP256R1())
    if not policy.MIN_RSA_BITS <= rsa_bits <= policy.MAX_RSA_BITS:
        raise ConfigError(
            f"RSA keys have {policy.MIN_RSA_BITS} to {policy.MAX_RSA_BITS} bits, not {rsa_bits}"
        )
    return rsa.generate_private_key(65537, rsa_bits)


def key_to_pem(key: PrivateKey) -> bytes:
    """PKCS#8 without password: protect the file."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Authority:
    """Signs certificates and revocation lists for one network."""

    def __init__(self, certificate: x509.Certificate, key: PrivateKey) -> None:
        """Raises CertificateError if the two do not belong together or encode no network."""
        if certificate.public_key() != key.public_key():
            raise CertificateError("the CA's key does not belong to its certificate")
        self.certificate = certificate
        self.key = key
        self.network = network_of_ca(certificate)

    @classmethod
    def create(cls, network: Network, *, now: datetime, rsa_bits: int | None = None) -> "Authority":
        """A new authority; its serial number encodes the network (``re6st-protocol.md`` §1.1)."""
        key = generate_key(rsa_bits)
        content = policy.ca_content(network, key.public_key(), now)
        certificate = _sign(content, key.public_key(), network.ca_serial, content.subject, key)
        return cls(certificate, key)

    @classmethod
    def load(cls, certificate_pem: bytes, key_pem: bytes) -> "Authority":
        """Read both files' contents.  Raises CertificateError."""
        certificate = load_certificate_untrusted(certificate_pem)
        try:
            key = load_pem_private_key(key_pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
            raise CertificateError(f"the CA's key is not readable: {exc}") from exc
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise CertificateError("the CA's key is neither EC nor RSA")
        return cls(certificate, key)

    def renewed(self, now: datetime) -> "Authority":
        """The same key, name and network, with a new certificate: all that it has issued stays valid."""
        old = self.certificate
        content = Content(
            old.subject,
            now - policy.BACK_DATED,
            now + policy.CA_LIFETIME,
            tuple((extension.value, extension.critical) for extension in old.extensions),
        )
        return Authority(
            _sign(content, self.key.public_key(), old.serial_number, old.issuer, self.key), self.key
        )

    @property
    def certificate_pem(self) -> bytes:
        """The certificate, as its file has it."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key, as its file has it: protect it."""
        return key_to_pem(self.key)

    def issue_node(
        self,
        request: x509.CertificateSigningRequest,
        prefix: Prefix,
        *,
        number: int,
        serial: int,
        now: datetime,
    ) -> x509.Certificate:
        """Certify the key of ``request`` as the node with this prefix.  Raises CertificateError."""
        key = policy.check_request(request)
        content = policy.node_content(self.certificate, prefix, key, number=number, now=now)
        return self._issue(content, key, serial)

    def issue_server(
        self, key: PublicKey, hosts: Iterable[str], *, serial: int, now: datetime
    ) -> x509.Certificate:
        """The registry's own certificate.  Raises ConfigError for an impossible host name."""
        return self._issue(policy.server_content(self.certificate, hosts, key, now), key, serial)

    def issue_crl(
        self, revoked: Iterable[tuple[int, datetime]], *, number: int, now: datetime
    ) -> x509.CertificateRevocationList:
        """Revocation list of serial numbers, with the time of each revocation."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - policy.BACK_DATED)
            .next_update(now + policy.CRL_LIFETIME)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(policy.authority_key_identifier(self.certificate), critical=False)
        )
        for serial, when in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, _HASH)

    def _issue(self, content: Content, key: PublicKey, serial: int) -> x509.Certificate:
        if serial == self.certificate.serial_number:
            raise CertificateError("this serial number is the CA's own")  # small networks have small ones
        return _sign(content, key, serial, self.certificate.subject, self.key)


def _sign(
    content: Content, key: PublicKey, serial: int, issuer: x509.Name, signer: PrivateKey
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(content.subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(content.not_before)
        .not_valid_after(content.not_after)
    )
    for extension, critical in content.extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, _HASH)
