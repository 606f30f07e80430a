"""What nodes and the registry say to each other: HTTP paths and the JSON bodies of ``/api/v1``.

Public, on plain HTTP: the CA certificate and the CRL, under caucase's paths.  Everything else is HTTPS,
on the next port (443 for 80), with the node's certificate, except enrolment.  Errors are RFC 9457 problem
documents.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from re6st_core.address import Endpoint
from re6st_core.errors import ConfigError
from re6st_core.prefix import Prefix

CA_PATH = "/cas/crt/ca.crt.pem"
CRL_PATH = "/cas/crl"
API = "/api/v1"
ENROL = API + "/enrol"
RENEW = API + "/renew"
PARAMETERS = API + "/parameters"
PARAMETERS_AFTER = PARAMETERS + "/after/"
BABEL_KEY = API + "/babel-key/"
BOOTSTRAP = API + "/bootstrap"
RELAY = API + "/relay"
OPENAPI = API + "/openapi.json"

PROBLEM_TYPE = "application/problem+json"
MAX_BODY = 65536
"""Bytes of any request or answer but the signed parameters, whose list of revoked serials may be long."""
WAIT_S = 120.0
"""How long ``GET PARAMETERS_AFTER + version`` waits for newer parameters before it answers 204."""
MAX_RELAYED = 16384 * 4 // 3 + 256
"""Bytes of a WebSocket frame: one peer message and its addressing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolRequest:
    """``POST ENROL``: ask for a certificate; without a token the registry must allow anonymous nodes."""

    csr: str
    """PEM of the certificate request."""
    token: str | None = None
    email: str | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewRequest:
    """``POST RENEW``, with the certificate to be renewed: the new key's request, same prefix."""

    csr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateResponse:
    """Answer to both: PEM of the certificate."""

    certificate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BabelKeyResponse:
    """Answer to ``GET BABEL_KEY + epoch``: the key that authenticates Babel's packets, for members only."""

    epoch: int
    key: str
    """Hexadecimal digits of 32 bytes."""

    def __repr__(self) -> str:
        return f"BabelKeyResponse(epoch={self.epoch})"


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapRequest:
    """``POST BOOTSTRAP``: tell where we can be reached, get some peers."""

    endpoints: tuple[Endpoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapPeer:
    """A node that was heard of lately."""

    prefix: Prefix
    endpoints: tuple[Endpoint, ...] = ()
    relayed: bool = False
    """Whether it listens on the registry's WebSocket now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapResponse:
    """Answer: a sample of peers, and where the caller's TCP connection came from, as the registry sees it."""

    observed: Endpoint
    peers: tuple[BootstrapPeer, ...] = ()
    now: float | None = None
    """Unix time, seconds, by the registry's clock when it answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayFrame:
    """One WebSocket text frame.  To the registry: ``peer`` is the recipient; from it: the sender.

    ``message``: the envelope's JSON text (see :mod:`re6st_core.peer_wire`).  Only from the registry:
    ``error``, why the frame for ``peer`` could not be delivered; ``version``, that there are network
    parameters of this version (``peer`` is the recipient then).
    """

    peer: Prefix
    message: str = ""
    error: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """RFC 9457 problem document."""

    title: str
    status: int
    detail: str = ""
    type: str = "about:blank"


def https_url(url: str) -> str:
    """The HTTPS base URL that belongs to a registry's HTTP URL: port 443 for 80, else the next one.

    Raises ConfigError if the URL is not ``http://host[:port]/``.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise ConfigError(f"registry URL {url!r}: {exc}") from exc
    if parts.scheme != "http" or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ConfigError(f"registry URL {url!r} is not of the form http://host[:port]/")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if port == 65535:
        raise ConfigError(f"registry URL {url!r}: no port follows 65535, on which HTTPS could be")
    authority = host if port in (None, 80) else f"{host}:{(port or 80) + 1}"
    return urlunsplit(("https", authority, parts.path.rstrip("/"), "", ""))
