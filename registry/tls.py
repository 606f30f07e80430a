"""The registry's own certificate, and TLS as its HTTPS port speaks it."""

import ssl
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from caucase_ca.authority import generate_key, key_to_pem
from caucase_ca.policy import CA_RENEWAL, RENEWAL_MARGIN, general_name
from re6st_core.errors import CertificateError
from re6st_core.identity import load_certificate_untrusted
from registry.files import read_file, write_file
from registry.service import Registry

NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which Python has no name."""


def renew_server_certificate(registry: Registry, path: Path, now: datetime) -> timedelta:
    """Make the key and certificate in ``path`` unless they are good; return when to look again.

    Raises ConfigError, StoreFailedError, StoreFullError.
    """
    certificate = _load(path, registry, now)
    if certificate is None:
        key = generate_key()
        serial = registry.server_serial()
        hosts = registry.settings.hosts
        certificate = registry.authority.issue_server(key.public_key(), hosts, serial=serial, now=now)
        write_file(path, key_to_pem(key) + certificate.public_bytes(Encoding.PEM), mode=0o600)
    return max(certificate.not_valid_after_utc - RENEWAL_MARGIN - now, timedelta(days=1))


def renew_authority(registry: Registry, path: Path, now: datetime) -> bool:
    """Give the CA a new certificate for the same key in good time, and publish it; whether that was due.

    Raises ConfigError, StoreFailedError, StoreFullError.
    """
    if now < registry.authority.certificate.not_valid_after_utc - CA_RENEWAL:
        return False
    renewed = registry.authority.renewed(now)
    write_file(path, renewed.certificate_pem)
    registry.authority = renewed
    registry.start(now)
    return True


def server_context(certificate: Path, ca: Path) -> ssl.SSLContext:
    """TLS 1.3; a client certificate is asked for, and must then be the CA's.

    Its dates are tested later, where the answer can say what is wrong, and a renewal may be granted.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    context.load_verify_locations(ca)
    context.num_tickets = 0  # each connection shows its certificate
    context.load_cert_chain(certificate)
    return context


def _load(path: Path, registry: Registry, now: datetime) -> x509.Certificate | None:
    """The certificate in the file, if it is good for a while."""
    if not path.exists():
        return None
    try:
        text = read_file(path)
        certificate = load_certificate_untrusted(text[text.index(b"-----BEGIN CERTIFICATE") :])
        certificate.verify_directly_issued_by(registry.authority.certificate)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (CertificateError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return None  # damaged, or another CA's: a new one costs nothing
    wanted = {general_name(host) for host in registry.settings.hosts}
    if set(names) != wanted or now > certificate.not_valid_after_utc - RENEWAL_MARGIN:
        return None
    return certificate
