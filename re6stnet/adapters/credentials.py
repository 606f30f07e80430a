"""The node's own certificate and key, and the TLS settings made from them."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from re6st_core.errors import CertificateError
from re6st_core.identity import Identity, load_certificate_untrusted, verify_node_certificate

Check = Callable[[x509.Certificate], None]


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are, proven: the key belongs to the certificate, the certificate to the network's CA."""

    ca: x509.Certificate
    ca_path: Path
    identity: Identity
    key: Any  # cryptography's private key types have no common useful base
    cert_path: Path
    key_path: Path

    def __repr__(self) -> str:
        return f"Credentials({self.identity.prefix})"

    @classmethod
    def load(cls, ca_path: Path, cert_path: Path, key_path: Path, *, now: datetime) -> "Credentials":
        """Read and check the three files.  Raises CertificateError naming the file and what to do."""
        ca = _certificate(ca_path)
        certificate = _certificate(cert_path)
        try:
            key = load_pem_private_key(key_path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as exc:
            raise CertificateError(f"{key_path}: not a readable private key") from exc
        if key.public_key() != certificate.public_key():
            raise CertificateError(
                f"{cert_path} was not made for the key {key_path}: put the right key back, or remove the "
                "certificate and run re6st-conf with a new token"
            )
        try:
            identity = verify_node_certificate(certificate, ca, now=now)
        except CertificateError as exc:
            raise CertificateError(f"{cert_path}: {exc}: run re6st-conf again") from exc
        return cls(ca, ca_path, identity, key, cert_path, key_path)

    def client_context(self, check: Check = lambda _certificate: None) -> ssl.SSLContext:
        """TLS 1.3 towards a node: its certificate must carry the overlay address we ask for.

        ``check`` sees the certificate of each peer, in both directions, and raises CertificateError.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._configure(context, check)
        return context

    def server_context(self, check: Check = lambda _certificate: None) -> ssl.SSLContext:
        """TLS 1.3 for peers: a certificate of the network is required."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        self._configure(context, check)
        return context

    def _configure(self, context: ssl.SSLContext, check: Check) -> None:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.sslobject_class = _checked_by(check)
        context.load_verify_locations(cadata=self.ca.public_bytes(Encoding.PEM).decode())
        context.load_cert_chain(self.cert_path, self.key_path)


def _checked_by(check: Check) -> type[ssl.SSLObject]:
    """TLS whose handshake fails if ``check`` does not like the other end's certificate."""

    class Checked(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            der = self.getpeercert(binary_form=True)
            assert der is not None, "the other end's certificate is required"
            try:
                check(load_certificate_untrusted(der))
            except CertificateError as exc:
                raise ssl.SSLCertVerificationError(str(exc)) from exc

    return Checked


def _certificate(path: Path) -> x509.Certificate:
    try:
        return load_certificate_untrusted(path.read_bytes())
    except OSError as exc:
        raise CertificateError(f"{path}: {exc.strerror}") from exc
    except CertificateError as exc:
        raise CertificateError(f"{path}: {exc}") from exc
