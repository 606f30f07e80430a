"""How nodes call the registry: TLS 1.3 that checks CA and name, typed messages, one kind of error.

Every failure is a RegistryError of one line that names the URL: UnreachableError (come again later),
RefusedError (with the HTTP status) or, for a certificate that must not be trusted, CertificateError.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from caucase_ca.policy import RENEWAL_MARGIN
from re6st_core.address import Endpoint
from re6st_core.errors import CertificateError, RegistryError, WireError
from re6st_core.identity import load_certificate_untrusted, network_of_ca, prefix_of_certificate
from re6st_core.json_wire import MAX_JSON, decode_json_untrusted, encode_json
from re6st_core.netparams import NetworkParameters, SignedParameters, verify_parameters_untrusted
from re6st_core.registry_wire import (
    BOOTSTRAP,
    CA_PATH,
    ENROL,
    MAX_BODY,
    MAX_RELAYED,
    PARAMETERS,
    RELAY,
    RENEW,
    BootstrapRequest,
    BootstrapResponse,
    CertificateResponse,
    EnrolRequest,
    Problem,
    RelayFrame,
    RenewRequest,
    https_url,
)
from registry.errors import RefusedError, UnreachableError

__all__ = ["RENEWAL_MARGIN", "RegistryClient", "RelayChannel", "fetch_ca"]
T = TypeVar("T")
TIMEOUT_S = 20.0
CONNECT_TIMEOUT_S = 8.0
HEARTBEAT_S = 20.0
MAX_CA = 65536
NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which Python has no name."""


async def fetch_ca(url: str, *, fwmark: int | None = None) -> x509.Certificate:
    """CA certificate of the network whose registry is at ``http://host[:port]/``.

    Nothing is verified yet: compare the fingerprint.  Raises ConfigError for a URL of another form,
    UnreachableError, RefusedError, RegistryError.
    """
    https_url(url)  # only to check its form
    address = url.rstrip("/") + CA_PATH
    with _explained(address):
        async with (
            _session(None, fwmark) as session,
            session.get(address, allow_redirects=False) as response,
        ):
            body = await _read(response, address, MAX_CA)
    try:
        certificate = load_certificate_untrusted(body)
        network_of_ca(certificate)
        certificate.verify_directly_issued_by(certificate)
    except Exception as exc:  # cryptography raises several unrelated types, all mean the same to us
        raise RegistryError(f"{address} answered something that is not a network's CA certificate") from exc
    return certificate


class RelayChannel:
    """An open connection to the relay."""

    def __init__(self, socket_: aiohttp.ClientWebSocketResponse, url: str) -> None:
        self._socket = socket_
        self._url = url

    async def send(self, frame: RelayFrame) -> None:
        """Send one frame.  Raises RegistryError when the connection is closed, or the frame too long."""
        text = encode_json(frame).decode()
        if len(text) > MAX_RELAYED:
            raise RegistryError(f"{self._url}: a frame of {len(text)} bytes is too long")
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._socket.send_str(text)
        except (aiohttp.ClientError, ConnectionError, TimeoutError, RuntimeError) as exc:
            raise UnreachableError(f"{self._url}: the connection is closed") from exc

    async def receive(self) -> RelayFrame:
        """Next frame.  Raises RegistryError when the connection is closed, or what comes is no frame."""
        message = await self._socket.receive()
        if message.type is not aiohttp.WSMsgType.TEXT:
            reason = f": {message.extra}" if message.extra else ""
            raise UnreachableError(f"{self._url}: the connection is closed{reason}")
        try:
            return decode_json_untrusted(RelayFrame, message.data, max_size=MAX_RELAYED)
        except WireError as exc:
            raise RegistryError(f"{self._url}: {exc}") from exc


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
        check_time: bool = True,
    ) -> None:
        """``url``: ``http://host[:port]/``, from which that of HTTPS follows.

        ``fwmark``: mark of our packets (``SO_MARK``).  ``check_time``: False for a node without trusted time.
        Raises ConfigError, CertificateError.
        """
        self._base = https_url(url)
        self._ca = ca
        self._tls = _tls_context(ca, cert_path, key_path, check_time=check_time)
        self._fwmark = fwmark
        self._lazy_session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._lazy_session is not None:
            await self._lazy_session.close()
            self._lazy_session = None

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

    async def bootstrap(self, endpoints: tuple[Endpoint, ...] = ()) -> BootstrapResponse:
        """Say where this node can be reached; learn the address it has, and some peers."""
        return await self._call("POST", BOOTSTRAP, BootstrapResponse, BootstrapRequest(endpoints=endpoints))

    @asynccontextmanager
    async def relay(self) -> AsyncIterator[RelayChannel]:
        """Connect to the relay; leaving the context disconnects."""
        url = self._base + RELAY
        with _explained(url):
            timeout = aiohttp.ClientWSTimeout(ws_close=2)
            async with asyncio.timeout(TIMEOUT_S):
                connecting = self._session().ws_connect(
                    url, heartbeat=HEARTBEAT_S, max_msg_size=MAX_RELAYED, timeout=timeout
                )
                socket_ = await connecting
        try:
            yield RelayChannel(socket_, url)
        finally:
            await socket_.close()

    def _session(self) -> aiohttp.ClientSession:
        if self._lazy_session is None:
            self._lazy_session = _session(self._tls, self._fwmark)
        return self._lazy_session

    async def _call(
        self, method: str, path: str, kind: type[T], message: object = None, *, limit: int = MAX_BODY
    ) -> T:
        url = self._base + path
        data = None if message is None else encode_json(message)
        headers = {"Content-Type": "application/json"} if data else None
        with _explained(url):
            async with self._session().request(
                method, url, data=data, headers=headers, allow_redirects=False
            ) as response:
                body = await _read(response, url, limit)
        try:
            return decode_json_untrusted(kind, body)
        except WireError as exc:
            raise RegistryError(f"{url} answered garbage: {exc}") from exc

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


class _RegistryTls(ssl.SSLObject):
    """TLS whose other end must be the registry: a node, too, has a certificate of this CA for an address."""

    def do_handshake(self) -> None:
        super().do_handshake()
        der = self.getpeercert(binary_form=True)
        assert der is not None  # CERT_REQUIRED
        try:
            prefix = prefix_of_certificate(load_certificate_untrusted(der))
        except CertificateError:
            return
        raise ssl.SSLCertVerificationError(f"it shows the certificate of node {prefix}, not the registry's")


def _tls_context(
    ca: x509.Certificate, cert_path: Path | None, key_path: Path | None, *, check_time: bool
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks CA and name
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.sslobject_class = _RegistryTls
    context.load_verify_locations(cadata=ca.public_bytes(Encoding.PEM).decode())
    if not check_time:
        context.verify_flags |= ssl.VerifyFlags(NO_CHECK_TIME)
    if cert_path is not None:
        try:
            context.load_cert_chain(cert_path, key_path)
        except OSError as exc:  # SSLError too
            reason = exc.strerror or exc
            raise CertificateError(f"certificate {cert_path} with key {key_path}: {reason}") from exc
    return context


def _session(tls: ssl.SSLContext | None, fwmark: int | None) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(ssl=tls or True, socket_factory=_marking(fwmark), limit=8)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S)
    return aiohttp.ClientSession(
        connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    )


def _marking(fwmark: int | None) -> Callable[[Any], socket.socket] | None:
    """Sockets whose packets the routing rules keep out of the overlay."""
    if fwmark is None:
        return None

    def make(address: Any) -> socket.socket:  # aiohttp's AddrInfoType
        family, kind, protocol, *_ = address
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, fwmark)
        return made

    return make


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn what aiohttp raises into our errors."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as exc:
        raise UnreachableError(f"{url} is not the registry of this network: {_reason(exc)}") from exc
    except ssl.SSLError as exc:  # aiohttp's TLS errors too
        raise UnreachableError(
            f"{url}: TLS failed, is our certificate of this network? {_reason(exc)}"
        ) from exc
    except TimeoutError as exc:
        raise UnreachableError(f"{url} did not answer in time") from exc
    except aiohttp.WSServerHandshakeError as exc:
        raise RefusedError(f"{url} answered {exc.status}: {exc.message}", exc.status) from exc
    except aiohttp.InvalidURL as exc:
        raise RegistryError(f"{url} is not a URL") from exc
    except aiohttp.ClientConnectionError as exc:
        raise UnreachableError(f"{url} cannot be reached: {_connection_reason(exc)}") from exc
    except (aiohttp.ClientError, OSError, ValueError) as exc:
        raise RegistryError(f"{url} answered garbage: {_reason(exc)}") from exc


def _connection_reason(exc: aiohttp.ClientConnectionError) -> str:
    """Why a connection failed; a name that does not resolve is worth more words than an errno."""
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return f"its name does not resolve ({_reason(exc.os_error)})"
    if isinstance(exc, aiohttp.ClientConnectorError):
        return _reason(exc.os_error)
    return _reason(exc)


def _reason(exc: BaseException) -> str:
    """One printable line."""
    return "".join(c if c.isprintable() else " " for c in str(exc) or type(exc).__name__)[:300]


async def _read(response: aiohttp.ClientResponse, url: str, limit: int) -> bytes:
    """Body of a successful answer.  Raises RefusedError, RegistryError."""
    body = b""
    async for chunk in response.content.iter_chunked(16384):
        body += chunk
        if len(body) > limit:
            raise RegistryError(f"{url} answered more than {limit} bytes")
    if response.status == 200:
        return body
    try:
        problem = decode_json_untrusted(Problem, body)
        text = ": ".join(filter(None, (problem.title, problem.detail)))
    except WireError:
        text = "is this a registry?"
    shown = "".join(c if c.isprintable() else "?" for c in text[:500])
    raise RefusedError(f"{url} answered {response.status}: {shown}", response.status)
