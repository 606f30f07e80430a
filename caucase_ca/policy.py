"""What a certificate of each kind contains, and which requests are acceptable.  Pure.

                 CA                    node                          registry
    subject      CN "re6st NETWORK"    serialNumber N, CN INT/LEN    CN "re6st registry"
    names        -                     SAN IP: overlay address       SAN: its host names and addresses
    usage        certSign, cRLSign     signature; client + server    signature; server
    addresses    the network           the node's prefix             -

Nothing but the public key is taken from a request.  The block of addresses (RFC 3779) is not critical,
although that RFC would have it so: these are first of all TLS certificates, and any TLS library must accept
them.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from caucase_ca.ip_blocks import IP_ADDR_BLOCKS, ip_block_extension
from re6st_core.errors import CertificateError, ConfigError
from re6st_core.identity import network_of_ca
from re6st_core.prefix import Network, Prefix

BACK_DATED = timedelta(days=2)
"""So that a holder whose peer's clock is late can be used at once."""
NODE_LIFETIME = timedelta(days=365)
RENEWAL_MARGIN = timedelta(days=30)
CA_LIFETIME = timedelta(days=20 * 365)
CA_RENEWAL = timedelta(days=2 * 365)
"""Left of its life when it is renewed: no node's certificate is cut short, and all nodes learn of it."""
CRL_LIFETIME = timedelta(days=28)
CRL_RENEWAL = timedelta(days=14)
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
SERVER_CN = "re6st registry"

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)


@dataclass(frozen=True, slots=True)
class Content:
    """All that a certificate states besides its issuer, serial number and key."""

    subject: x509.Name
    not_before: datetime
    not_after: datetime
    extensions: tuple[tuple[x509.ExtensionType, bool], ...]
    """With each, whether it is critical."""


def ca_content(network: Network, key: PublicKey, now: datetime) -> Content:
    """A network's own, self-signed certificate."""
    ski = x509.SubjectKeyIdentifier.from_public_key(key)
    return Content(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"re6st {network}")]),
        now - BACK_DATED,
        now + CA_LIFETIME,
        (
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (_key_usage(digital_signature=True, key_cert_sign=True, crl_sign=True), True),
            (ski, False),
            (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), False),
            (ip_block_extension(network.cidr), False),
        ),
    )


def node_content(
    ca: x509.Certificate, prefix: Prefix, key: PublicKey, *, number: int, now: datetime
) -> Content:
    """A node's certificate; ``number``: its subject serialNumber (``re6st-protocol.md`` §1.4)."""
    network = network_of_ca(ca)
    extensions = [
        (x509.SubjectAlternativeName([x509.IPAddress(network.address(prefix))]), False),
        *_leaf(ca, key, ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH),
    ]
    if _states_addresses(ca):  # else OpenSSL finds the addresses "not nested" in the issuer's
        extensions.append((ip_block_extension(network.subnet(prefix)), False))
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.SERIAL_NUMBER, str(number)),
            x509.NameAttribute(NameOID.COMMON_NAME, prefix.cn),
        ]
    )
    return Content(subject, now - BACK_DATED, _end(ca, now), tuple(extensions))


def server_content(ca: x509.Certificate, hosts: Iterable[str], key: PublicKey, now: datetime) -> Content:
    """The registry's own certificate, with its names.  Raises ConfigError for an impossible name."""
    return Content(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, SERVER_CN)]),
        now - BACK_DATED,
        _end(ca, now),
        (
            (x509.SubjectAlternativeName([general_name(host) for host in hosts]), False),
            *_leaf(ca, key, ExtendedKeyUsageOID.SERVER_AUTH),
        ),
    )


def general_name(host: str) -> x509.DNSName | x509.IPAddress:
    """A host's name as certificates have it.  Raises ConfigError."""
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    if not _HOST_NAME.fullmatch(host.lower()) or host.rsplit(".", 1)[-1].isdigit():
        raise ConfigError(f"{host[:80]!r} is neither a host name nor an IP address")
    return x509.DNSName(host.lower())


def load_request_untrusted(pem: str | bytes) -> x509.CertificateSigningRequest:
    """Read a request and check it with :func:`check_request`.  Raises CertificateError and nothing else."""
    try:
        request = x509.load_pem_x509_csr(pem.encode() if isinstance(pem, str) else pem)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as exc:
        raise CertificateError(f"not a certificate request: {exc}") from exc
    check_request(request)
    return request


def check_request(request: x509.CertificateSigningRequest) -> PublicKey:
    """The key to certify, once the sender is known to hold its private half.  Raises CertificateError."""
    try:
        key = check_public_key(request.public_key())
        strong = isinstance(request.signature_hash_algorithm, hashes.SHA256 | hashes.SHA384 | hashes.SHA512)
        valid = strong and request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise CertificateError(f"certificate request: {exc}") from exc
    if not valid:
        raise CertificateError(
            "certificate request: it is not signed, with SHA-2, by the key that it contains"
        )
    return key


def check_public_key(key: object) -> PublicKey:
    """Return ``key`` if the network allows its kind and size.  Raises CertificateError."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        if isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
            return key
        raise CertificateError(f"keys on the curve {key.curve.name} are not allowed, only P-256 and P-384")
    if isinstance(key, rsa.RSAPublicKey):
        if MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS and key.public_numbers().e == 65537:
            return key
        raise CertificateError(
            f"RSA keys must have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits and the exponent 65537"
        )
    raise CertificateError(f"keys of type {type(key).__name__} are not allowed, only EC and RSA")


def _end(ca: x509.Certificate, now: datetime) -> datetime:
    return min(now + NODE_LIFETIME, ca.not_valid_after_utc)


def _states_addresses(ca: x509.Certificate) -> bool:
    """False for the CA of a network imported from re6st."""
    return any(extension.oid == IP_ADDR_BLOCKS for extension in ca.extensions)


def _leaf(
    ca: x509.Certificate, key: PublicKey, *usages: x509.ObjectIdentifier
) -> list[tuple[x509.ExtensionType, bool]]:
    # RSA also encrypts: the legacy protocol of re6st does so.
    usage = _key_usage(digital_signature=True, key_encipherment=isinstance(key, rsa.RSAPublicKey))
    issuer = ca.public_key()
    assert isinstance(issuer, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage, True),
        (x509.ExtendedKeyUsage(usages), False),
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
        (authority_key_identifier(ca), False),
    ]


def authority_key_identifier(ca: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Identifier of the CA's key: the one it states, else (a CA without extensions) SHA-1 of the key."""
    try:
        ski = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        ski = x509.SubjectKeyIdentifier.from_public_key(ca.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski)


def _key_usage(
    *,
    digital_signature: bool = False,
    key_encipherment: bool = False,
    key_cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
