"""How nodes call the registry: TLS 1.3 that checks CA and name, typed messages, one kind of error.

Every failure is a RegistryError of one line that names the URL: UnreachableError (come again later),
RefusedError (with the HTTP status) or, for a certificate that must not be trusted, CertificateError.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from caucase_ca.policy import RENEWAL_MARGIN
from re6st_core.address import Endpoint
from re6st_core.errors import CertificateError, RegistryError, WireError
from re6st_core.identity import load_certificate_untrusted, network_of_ca, prefix_of_certificate
from re6st_core.json_wire import MAX_JSON, decode_json_untrusted, encode_json
from re6st_core.mac_key import key_of
from re6st_core.netparams import NetworkParameters, SignedParameters, verify_parameters_untrusted
from re6st_core.registry_wire import (
    BABEL_KEY,
    BOOTSTRAP,
    CA_PATH,
    ENROL,
    MAX_BODY,
    PARAMETERS,
    PARAMETERS_AFTER,
    RELAY,
    RENEW,
    WAIT_S,
    BabelKeyResponse,
    BootstrapRequest,
    BootstrapResponse,
    CertificateResponse,
    EnrolRequest,
    Problem,
    RenewRequest,
    https_url,
)
from registry.errors import RefusedError
from registry.exchange import TIMEOUT_S, Answer, exchange

if TYPE_CHECKING:
    from registry.relay_channel import RelayChannel, RelayConnector

__all__ = ["RENEWAL_MARGIN", "RegistryClient", "fetch_ca"]
T = TypeVar("T")
MAX_CA = 65536
NO_CONTENT = 204
MAX_UNIX = 253402300799
"""The last second of the year 9999: no date can be later."""
NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which Python has no name."""


async def fetch_ca(url: str, *, fwmark: int | None = None) -> x509.Certificate:
    """CA certificate of the network whose registry is at ``http://host[:port]/``.

    Nothing is verified yet: compare the fingerprint.  Raises ConfigError for a URL of another form,
    UnreachableError, RefusedError, RegistryError.
    """
    https_url(url)  # only to check its form
    address = url.rstrip("/") + CA_PATH
    body = _granted(address, await exchange("GET", address, fwmark=fwmark, limit=MAX_CA))
    try:
        certificate = load_certificate_untrusted(body)
        network_of_ca(certificate)
        certificate.verify_directly_issued_by(certificate)
    except Exception as exc:  # cryptography raises several unrelated types, all mean the same to us
        raise RegistryError(f"{address} answered something that is not a network's CA certificate") from exc
    return certificate


class RegistryClient:
    """One registry, as one node calls it; use it as an asynchronous context, or ``close()`` it."""

    def __init__(
        self,
        url: str,
        ca: x509.Certificate,
        cert_path: Path | None = None,
        key_path: Path | None = None,
        *,
        fwmark: int | None = None,
        now: Callable[[], datetime | None] | None = None,
        on_date: Callable[[datetime, float], None] = lambda _date, _error_s: None,
    ) -> None:
        """``url``: ``http://host[:port]/``, from which that of HTTPS follows.

        ``fwmark``: mark of our packets (``SO_MARK``).  ``now``: tells the time for the test of the registry's
        certificate, or None if that is not known; without it the host's clock is believed.  ``on_date`` is
        told the time of each answer and, in seconds, how far it may be from now.

        Raises ConfigError, CertificateError.
        """
        self._base = https_url(url)
        self._ca = ca
        self._paths = (cert_path, key_path)
        self._tls = _tls_context(ca, now)
        self._fwmark = fwmark
        self._on_date = on_date
        self.load_certificate()
        self._relay: RelayConnector | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._relay is not None:
            await self._relay.close()
            self._relay = None

    def load_certificate(self) -> None:
        """Show what our files have now, from the next connection on.  Raises CertificateError."""
        cert_path, key_path = self._paths
        if cert_path is None:
            return
        try:
            self._tls.load_cert_chain(cert_path, key_path)
        except OSError as exc:  # SSLError too
            reason = exc.strerror or exc
            raise CertificateError(f"certificate {cert_path} with key {key_path}: {reason}") from exc

    async def enrol(self, request: EnrolRequest) -> x509.Certificate:
        """Join.  Asking again with the same key and token gives the same certificate."""
        return self._certificate(ENROL, await self._call("POST", ENROL, CertificateResponse, request))

    async def renew(self, csr_pem: str) -> x509.Certificate:
        """New certificate for the same prefix; the one in use may have ended."""
        request = RenewRequest(csr=csr_pem)
        return self._certificate(RENEW, await self._call("POST", RENEW, CertificateResponse, request))

    async def parameters(self) -> NetworkParameters:
        """The newest network parameters, once their signature is verified."""
        return (await self.signed_parameters())[1]

    async def signed_parameters(self) -> tuple[SignedParameters, NetworkParameters]:
        """The same, with the signed form, which may be passed on to peers."""
        signed = await self._call("GET", PARAMETERS, SignedParameters, limit=MAX_JSON)
        try:
            return signed, verify_parameters_untrusted(signed, self._ca)
        except WireError as exc:
            raise RegistryError(f"{self._base}{PARAMETERS}: {exc}") from exc

    async def parameters_after(self, version: int) -> SignedParameters | None:
        """Wait, for two minutes or so, for parameters newer than this version; None: there are none yet.

        Raises RefusedError with status 429 if too many wait already.
        """
        url = f"{self._base}{PARAMETERS_AFTER}{version}"
        within_s = WAIT_S + TIMEOUT_S
        answer = await self._exchange("GET", url, limit=MAX_JSON, within_s=within_s)
        if answer.status == NO_CONTENT:
            return None
        try:
            signed = decode_json_untrusted(SignedParameters, _granted(url, answer))
            verify_parameters_untrusted(signed, self._ca)
        except WireError as exc:
            raise RegistryError(f"{url}: {exc}") from exc
        return signed

    async def babel_key(self, epoch: int) -> bytes:
        """The key that authenticates Babel's packets, of this number."""
        told = await self._call("GET", f"{BABEL_KEY}{epoch}", BabelKeyResponse)
        try:
            return key_of(told, epoch)
        except WireError as exc:
            raise RegistryError(f"{self._base}{BABEL_KEY}{epoch}: {exc}") from exc

    async def bootstrap(self, endpoints: tuple[Endpoint, ...] = ()) -> BootstrapResponse:
        """Say where this node can be reached; learn the address it has, and some peers."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        response = await self._call(
            "POST", BOOTSTRAP, BootstrapResponse, BootstrapRequest(endpoints=endpoints)
        )
        took_s = loop.time() - began
        if response.now is not None and 0 < response.now < MAX_UNIX:
            self._on_date(datetime.fromtimestamp(response.now, UTC), took_s)
        return response

    @asynccontextmanager
    async def relay(self) -> AsyncIterator["RelayChannel"]:
        """Connect to the relay; leaving the context disconnects."""
        from registry.relay_channel import RelayConnector  # noqa: PLC0415 - half of what re6st-conf needs to start

        if self._relay is None:
            self._relay = RelayConnector(self._base + RELAY, self._tls, self._fwmark)
        async with self._relay.connected() as channel:
            yield channel

    async def _call(
        self, method: str, path: str, kind: type[T], message: object = None, *, limit: int = MAX_BODY
    ) -> T:
        url = self._base + path
        data = None if message is None else encode_json(message)
        answer = await self._exchange(method, url, data, limit=limit)
        body = _granted(url, answer)
        try:
            return decode_json_untrusted(kind, body)
        except WireError as exc:
            raise RegistryError(f"{url} answered garbage: {exc}") from exc

    async def _exchange(
        self, method: str, url: str, data: bytes | None = None, *, limit: int, within_s: float = TIMEOUT_S
    ) -> Answer:
        answer = await exchange(
            method, url, data, tls=self._tls, fwmark=self._fwmark, limit=limit, within_s=within_s
        )
        if answer.date is not None:  # in whole seconds
            self._on_date(answer.date + timedelta(seconds=0.5), 1.0)
        return answer

    def _certificate(self, path: str, response: CertificateResponse) -> x509.Certificate:
        try:
            certificate = load_certificate_untrusted(response.certificate.encode())
            prefix_of_certificate(certificate)
            certificate.verify_directly_issued_by(self._ca)
        except Exception as exc:  # cryptography raises several unrelated types, all mean the same to us
            raise CertificateError(
                f"{self._base}{path} answered a certificate that is not of this network: {exc}"
            ) from exc
        return certificate


def _tls_context(ca: x509.Certificate, now: Callable[[], datetime | None] | None) -> ssl.SSLContext:
    class RegistryTls(ssl.SSLObject):
        """The other end must be the registry: a node, too, has a certificate of this CA for an address."""

        def do_handshake(self) -> None:
            super().do_handshake()
            der = self.getpeercert(binary_form=True)
            assert der is not None  # CERT_REQUIRED
            _check_registry(der, now() if now else None)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks CA and name
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.sslobject_class = RegistryTls
    if now is not None:
        context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    context.load_verify_locations(cadata=ca.public_bytes(Encoding.PEM).decode())
    return context


def _check_registry(der: bytes, now: datetime | None) -> None:
    """Raises SSLCertVerificationError for a node's certificate, and for one that is not in date."""
    try:
        certificate = load_certificate_untrusted(der)
    except CertificateError as exc:
        raise ssl.SSLCertVerificationError(str(exc)) from exc
    try:
        prefix = prefix_of_certificate(certificate)
    except CertificateError:
        pass
    else:
        raise ssl.SSLCertVerificationError(f"it shows the certificate of node {prefix}, not the registry's")
    if now is not None and not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise ssl.SSLCertVerificationError(
            f"its certificate is valid from {certificate.not_valid_before_utc} "
            f"to {certificate.not_valid_after_utc}, now it is {now}"
        )


def _granted(url: str, answer: Answer) -> bytes:
    """Body of a successful answer.  Raises RefusedError."""
    if answer.status == 200:
        return answer.body
    try:
        problem = decode_json_untrusted(Problem, answer.body)
        text = ": ".join(filter(None, (problem.title, problem.detail)))
    except WireError:
        text = "is this a registry?"
    shown = "".join(c if c.isprintable() else "?" for c in text[:500])
    raise RefusedError(f"{url} answered {answer.status}: {shown}", answer.status)
