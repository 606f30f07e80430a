"""What a certificate states about its holder, and the tests it must pass before we believe it.

CA certificate      serial -> network (``re6st-protocol.md`` §1.1)
node certificate    CN INT/LEN -> prefix; SAN IP -> overlay address
registry's own      carries names (SAN DNS/IP), its CN is never INT/LEN
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from re6st_core.errors import CertificateError, WireError
from re6st_core.prefix import Network, Prefix


@dataclass(frozen=True, slots=True)
class Identity:
    """A node as its certificate states it; made only by functions that have verified the certificate."""

    network: Network
    prefix: Prefix
    serial: int
    not_after: datetime
    certificate: x509.Certificate


def load_certificate_untrusted(data: bytes) -> x509.Certificate:
    """Read one certificate, PEM or DER.  Raises CertificateError."""
    try:
        if data.lstrip().startswith(b"-----"):
            return x509.load_pem_x509_certificate(data)
        return x509.load_der_x509_certificate(data)
    except (ValueError, TypeError, x509.InvalidVersion) as exc:
        raise CertificateError(f"not a certificate: {exc}") from exc


def fingerprint(certificate: x509.Certificate) -> str:
    """``sha256:HEX`` of the DER form, the form that ``re6st-conf --fingerprint`` takes."""
    return "sha256:" + hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def check_fingerprint(certificate: x509.Certificate, expected: str) -> None:
    """Compare with ``ALG:HEX`` (colons between bytes allowed).  Raises CertificateError."""
    algorithm, _, digest = expected.partition(":")
    if algorithm.lower() not in {"sha256", "sha384", "sha512"}:
        raise CertificateError(
            f"fingerprint {expected[:80]!r}: the algorithm must be sha256, sha384 or sha512"
        )
    actual = hashlib.new(algorithm.lower(), certificate.public_bytes(Encoding.DER)).hexdigest()
    if actual != digest.replace(":", "").lower():
        raise CertificateError(
            f"the CA's fingerprint is {algorithm.lower()}:{actual}, not {expected[:150]}: "
            "this is another network, or somebody between you and the registry"
        )


def network_of_ca(ca: x509.Certificate) -> Network:
    """The network a CA certificate stands for.  Raises CertificateError."""
    try:
        return Network.from_ca_serial(ca.serial_number)
    except WireError as exc:
        raise CertificateError(str(exc)) from exc


def check_renewed_ca(renewed: x509.Certificate, known: x509.Certificate) -> None:
    """Return if one certificate of a network's CA may take the place of another: same key and network.

    Raises CertificateError.
    """
    if renewed.public_key() != known.public_key() or renewed.subject != known.subject:
        raise CertificateError("the CA's certificate is another CA's, not a renewed one")
    if network_of_ca(renewed) != network_of_ca(known):
        raise CertificateError("the CA's certificate is another network's")
    try:
        renewed.verify_directly_issued_by(renewed)
    except Exception as exc:  # cryptography raises several unrelated types, all mean the same to us
        raise CertificateError("the CA's certificate is not signed by itself") from exc


def prefix_of_certificate(certificate: x509.Certificate) -> Prefix:
    """The prefix in the CN.  Raises CertificateError if it is not a node's certificate."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1 or not isinstance(names[0].value, str):
        raise CertificateError("a node's certificate has exactly one CN")
    try:
        return Prefix.from_cn(names[0].value)
    except WireError as exc:
        raise CertificateError(f"not a node's certificate: {exc}") from exc


def verify_node_certificate(
    certificate: x509.Certificate, ca: x509.Certificate, *, now: datetime | None
) -> Identity:
    """Return what a node's certificate states, once signature, dates and prefix are right.

    ``now``: timezone-aware; None leaves the dates alone (a node without trusted time).
    Raises CertificateError.
    """
    network = network_of_ca(ca)
    try:
        certificate.verify_directly_issued_by(ca)
    except Exception as exc:  # cryptography raises several unrelated types, all mean the same to us
        raise CertificateError("the certificate is not issued by this network's CA") from exc
    if now is not None:
        if now < certificate.not_valid_before_utc:
            raise CertificateError(f"the certificate is not valid before {certificate.not_valid_before_utc}")
        if now > certificate.not_valid_after_utc:
            raise CertificateError(f"the certificate expired on {certificate.not_valid_after_utc}")
    prefix = prefix_of_certificate(certificate)
    try:
        network.subnet(prefix)
    except WireError as exc:
        raise CertificateError(str(exc)) from exc
    return Identity(network, prefix, certificate.serial_number, certificate.not_valid_after_utc, certificate)
