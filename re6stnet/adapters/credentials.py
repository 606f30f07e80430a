"""The node's own certificate and key, and the TLS settings made from them, which follow a renewal."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from re6st_core.errors import CertificateError
from re6st_core.identity import (
    Identity,
    check_renewed_ca,
    load_certificate_untrusted,
    verify_node_certificate,
)
from re6stnet.enrolment.places import Place
from registry.client import NO_CHECK_TIME

Check = Callable[[x509.Certificate], None]


class Credentials:
    """Who we are, proven: the key belongs to the certificate, the certificate to the network's CA.

    Whether the certificate has ended is not looked at: the clock may be wrong, and the registry renews also
    one that has.
    """

    def __init__(self, ca_path: Path, cert_path: Path, key_path: Path) -> None:
        """Read and check the three files.  Raises CertificateError naming the file and what to do."""
        self.ca_path, self.cert_path, self.key_path = ca_path, cert_path, key_path
        self.ca = _certificate(ca_path)
        self.identity, self.key = self._read()
        self._contexts: list[ssl.SSLContext] = []

    def __repr__(self) -> str:
        return f"Credentials({self.identity.prefix})"

    def _read(self) -> tuple[Identity, Any]:  # Any: cryptography's private keys have no useful common type
        certificate = _certificate(self.cert_path)
        try:
            key = load_pem_private_key(self.key_path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as exc:
            raise CertificateError(f"{self.key_path}: not a readable private key") from exc
        if key.public_key() != certificate.public_key():
            raise CertificateError(
                f"{self.cert_path} was not made for the key {self.key_path}: put the right key back, or "
                "remove the certificate and run re6st-conf with a new token"
            )
        try:
            return verify_node_certificate(certificate, self.ca, now=None), key
        except CertificateError as exc:
            raise CertificateError(f"{self.cert_path}: {exc}: run re6st-conf again") from exc

    def reload(self) -> bool:
        """Take up a certificate that has replaced ours; whether there is one.

        New connections and signatures use it.  Raises CertificateError, and nothing changes, for one that is
        not ours.
        """
        identity, key = self._read()
        if identity.certificate == self.identity.certificate:
            return False
        if (identity.network, identity.prefix) != (self.identity.network, self.identity.prefix):
            raise CertificateError(
                f"{self.cert_path} is of {identity.prefix} now, not {self.identity.prefix}: restart the node"
            )
        for context in self._contexts:
            context.load_cert_chain(self.cert_path, self.key_path)
        self.identity, self.key = identity, key
        return True

    def renew_ca(self, der: bytes) -> bool:
        """Take up a renewed certificate of our CA if it lasts longer than ours; whether it does.

        The file is replaced in one step.  Raises CertificateError for another CA's, ConfigError.
        """
        renewed = load_certificate_untrusted(der)
        check_renewed_ca(renewed, self.ca)
        if renewed.not_valid_after_utc <= self.ca.not_valid_after_utc:
            return False
        with Place(self.ca_path) as place:
            place.write(renewed.public_bytes(Encoding.PEM))
        self.ca = renewed
        for context in self._contexts:
            context.load_verify_locations(cadata=renewed.public_bytes(Encoding.PEM).decode())
        return True

    def client_context(self, check: Check = lambda _certificate: None) -> ssl.SSLContext:
        """TLS 1.3 towards a node: its certificate must carry the overlay address we ask for.

        ``check`` sees the certificate of each peer, in both directions, and raises CertificateError; dates
        are left to it.
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
        context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
        context.sslobject_class = _checked_by(check)
        context.load_verify_locations(cadata=self.ca.public_bytes(Encoding.PEM).decode())
        context.load_cert_chain(self.cert_path, self.key_path)
        self._contexts.append(context)


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
