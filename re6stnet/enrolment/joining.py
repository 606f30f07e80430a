"""The steps of joining a network, in the order in which nothing can be lost.

    CA verified by fingerprint -> room for all files -> key on disk -> certificate asked -> on disk

The registry gives the same key the same certificate again, so a death at any point costs nothing: run again.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from re6st_core.errors import CertificateError, ConfigError
from re6st_core.identity import (
    Identity,
    check_fingerprint,
    check_renewed_ca,
    fingerprint,
    verify_node_certificate,
)
from re6st_core.registry_wire import EnrolRequest
from re6stnet.enrolment.credentials import PrivateKey, certificate_in, key_in, request_pem
from re6stnet.enrolment.option_file import option_file
from re6stnet.enrolment.places import Place, places
from registry.client import RegistryClient, fetch_ca
from registry.errors import RefusedError

FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Files:
    """Where everything goes; ``directory`` is absolute."""

    directory: Path

    @property
    def ca(self) -> Path:
        """Certificate of the network."""
        return self.directory / "ca.crt"

    @property
    def key(self) -> Path:
        """Our private key."""
        return self.directory / "cert.key"

    @property
    def cert(self) -> Path:
        """Our certificate."""
        return self.directory / "cert.crt"

    @property
    def config(self) -> Path:
        """Options of the daemon."""
        return self.directory / "re6stnet.conf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to ask the registry for."""

    registry: str
    names: x509.Name
    token: str | None
    """None: as an anonymous node."""
    email: str | None = None
    location: str | None = None

    @property
    def country(self) -> str | None:
        """First part of the location."""
        return self.location.split(",")[0] if self.location else None


class CaNotTrustedError(CertificateError):
    """The CA has been fetched over a line that anybody may have tampered with, and nothing vouches for it."""

    def __init__(self, ca: x509.Certificate) -> None:
        self.ca = ca
        self.fingerprint = fingerprint(ca)
        super().__init__(
            f"the CA's fingerprint is {self.fingerprint}: if the operator told you the same, "
            f"run again with --fingerprint {self.fingerprint}"
        )


class RenewalRefusedError(RefusedError):
    """The registry will never renew this certificate: to join anew is the only way."""


async def trusted_ca(registry: str, expected: str | None, files: Files) -> x509.Certificate:
    """CA certificate of the registry, vouched for by its fingerprint or by the file we have.

    Raises RegistryError, CertificateError, CaNotTrustedError, ConfigError.
    """
    ca = await fetch_ca(registry)
    if expected is not None:
        check_fingerprint(ca, expected)
        return ca
    known = certificate_in(files.ca)
    if known is None:
        raise CaNotTrustedError(ca)
    try:
        check_renewed_ca(ca, known)
    except CertificateError as exc:
        raise CertificateError(
            f"{files.ca} is not the CA of {registry}, whose fingerprint is {fingerprint(ca)}: "
            "give --fingerprint if that is right"
        ) from exc
    return ca


def save_ca(ca: x509.Certificate, files: Files) -> None:
    """Write ``ca.crt``.  Raises ConfigError."""
    with Place(files.ca) as place:
        place.write(ca.public_bytes(Encoding.PEM))


def current_identity(files: Files, ca: x509.Certificate, now: datetime | None) -> Identity | None:
    """What our certificate states, if we have one for our key.

    ``now``: None accepts one that has ended.  Raises CertificateError for one that is of no use, ConfigError.
    """
    certificate = certificate_in(files.cert)
    if certificate is None:
        return None
    if not files.key.exists():
        raise ConfigError(f"{files.cert} has no key: restore {files.key}, or remove {files.cert}")
    if key_in(files.key, ca).public_key() != certificate.public_key():
        raise CertificateError(
            f"{files.key} does not belong to {files.cert}: restore one of them, or remove {files.cert}"
        )
    try:
        return verify_node_certificate(certificate, ca, now=now)
    except CertificateError as exc:
        raise CertificateError(f"{files.cert}: {exc}; remove it to join anew") from exc


async def join(request: Request, files: Files, ca: x509.Certificate, now: datetime) -> Identity:
    """Get a certificate and write it, with the option file if there is none.

    Raises ConfigError before anything is asked if a file could not be written; RegistryError,
    CertificateError.
    """
    new = [files.ca, files.cert] + ([] if files.config.exists() else [files.config])
    with places(*new) as taken:
        key = key_in(files.key, ca)
        async with RegistryClient(request.registry, ca) as client:
            certificate = await client.enrol(
                EnrolRequest(
                    csr=request_pem(key, request.names),
                    token=request.token,
                    email=request.email,
                    location=request.location,
                )
            )
        identity = _checked(certificate, key, ca, now)
        taken[files.cert].write(certificate.public_bytes(Encoding.PEM))
        taken[files.ca].write(ca.public_bytes(Encoding.PEM))
        if files.config in taken:
            taken[files.config].write(_options(request, files))
    return identity


def complete(request: Request, files: Files, ca: x509.Certificate) -> None:
    """Write what may be missing beside a certificate.  Raises ConfigError."""
    if certificate_in(files.ca) != ca:
        save_ca(ca, files)
    if not files.config.exists():
        with Place(files.config) as place:
            place.write(_options(request, files))


def _options(request: Request, files: Files) -> bytes:
    paths = {"ca": files.ca, "cert": files.cert, "key": files.key}
    return option_file(request.registry, **paths, country=request.country).encode()


async def renew(request: Request, files: Files, ca: x509.Certificate, now: datetime) -> Identity:
    """New certificate in the place of one that ends soon, or has; asked early, the registry gives the same.

    Raises RenewalRefusedError; RegistryError for a failure that may pass, CertificateError, ConfigError.
    """
    with places(files.cert) as taken:
        key = key_in(files.key, ca)
        async with RegistryClient(request.registry, ca, files.cert, files.key) as client:
            try:
                certificate = await client.renew(request_pem(key, request.names))
            except RefusedError as exc:
                if exc.status != FORBIDDEN:
                    raise
                raise RenewalRefusedError(str(exc), exc.status) from exc
        identity = _checked(certificate, key, ca, now)
        taken[files.cert].write(certificate.public_bytes(Encoding.PEM))
    return identity


def _checked(certificate: x509.Certificate, key: PrivateKey, ca: x509.Certificate, now: datetime) -> Identity:
    if certificate.public_key() != key.public_key():
        raise CertificateError("the registry's certificate is for another key than ours")
    return verify_node_certificate(certificate, ca, now=now)


def make_directory(directory: Path) -> Files:
    """The directory to work in.  Raises ConfigError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"{directory} cannot be made: {exc.strerror}") from exc
    return Files(directory.resolve())
