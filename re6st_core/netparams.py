"""Network parameters: what the registry decides for all nodes, with a version, signed by the CA.

    {"body": base64(JSON of NetworkParameters), "signature": base64(signature by the CA key over body)}

The signature covers the content, so any node may pass the parameters on; a node never goes back
to a lower version.
"""

import base64
import binascii
import re
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from re6st_core.errors import CertificateError, ConfigError, WireError
from re6st_core.json_wire import decode_json_untrusted, encode_json
from re6st_core.signature import sign, verify

_CONTEXT = b"re6st network parameters v1\0"
_COUNTRY = re.compile(r"[A-Z]{2}")
_DIGEST = re.compile(r"([0-9a-f]{64})?")
MAX_VERSION = 2**53
MAX_EPOCH = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkParameters:
    """Values that hold for the whole network; ``check()`` says whether they make sense."""

    version: int
    """Grows by one with each change; 1 is the first."""
    hello_s: float = 0.5
    """Babel's hello interval on tunnels; babeld holds a request for a quarter of it at each hop."""
    client_count: int = 10
    """Tunnels that each node opens by itself."""
    max_clients: int = 20
    """Tunnels that each node accepts."""
    tunnel_refresh_s: float = 300.0
    """How often a node replaces the tunnel it needs least."""
    rtt_min_ms: int = 1
    rtt_max_ms: int = 500
    max_rtt_penalty: int = 5000
    rxcost: int = 16
    """Base cost of a hop; with the three above the metric is proportional to delay (architecture §4)."""
    same_country: tuple[str, ...] = ()
    """ISO 3166 alpha-2 codes of countries whose borders tunnels must not cross."""
    mac_epoch: int = 0
    """Number of the newest key that authenticates Babel's packets (RFC 8967); 0: they are not."""
    mac_from: int = 0
    """Unix time, seconds, from which on it is used; until then the one before it is."""
    mac_digest: str = ""
    """SHA-256 of that key, hexadecimal, so that one from a peer can be tested."""
    ca: str = ""
    """The CA's certificate, DER in base64, which replaces those of the same key that end earlier."""
    revoked: tuple[int, ...] = field(default=())
    """Serial numbers of revoked certificates, ascending; expired ones are left out."""

    def problems(self) -> list[str]:
        """Everything that is wrong, one line each."""
        limits = {
            "version": (self.version, 1, MAX_VERSION),
            "hello_s": (self.hello_s, 0.1, 300),
            "client_count": (self.client_count, 0, 40),
            "max_clients": (self.max_clients, 0, 40),
            "tunnel_refresh_s": (self.tunnel_refresh_s, 1, 86400),
            "rtt_min_ms": (self.rtt_min_ms, 1, 60000),
            "rtt_max_ms": (self.rtt_max_ms, self.rtt_min_ms + 1, 60000),
            "max_rtt_penalty": (self.max_rtt_penalty, 0, 65535),
            "rxcost": (self.rxcost, 1, 65535),
            "mac_epoch": (self.mac_epoch, 0, MAX_EPOCH),
            "mac_from": (self.mac_from, 0, MAX_VERSION),
        }
        found = [
            f"{name} = {value} is outside {low}..{high}"
            for name, (value, low, high) in limits.items()
            if not low <= value <= high  # a NaN fails both comparisons
        ]
        if not _DIGEST.fullmatch(self.mac_digest):
            found.append("mac_digest is not that of SHA-256")
        found += [f"{c[:8]!r} is not a country code" for c in self.same_country if not _COUNTRY.fullmatch(c)]
        return found

    def tunnel_cost(self, rtt_us: int) -> int:
        """What a tunnel of this RTT costs in Babel's metric, a whole number as in babeld."""
        low, high = 1000 * self.rtt_min_ms, 1000 * self.rtt_max_ms
        return self.rxcost + self.max_rtt_penalty * (min(max(rtt_us, low), high) - low) // (high - low)

    def epoch_at(self, unix: float) -> int:
        """Number of the key in use at this time; 0: none."""
        return self.mac_epoch - (unix < self.mac_from and self.mac_epoch > 1)

    def check(self) -> "NetworkParameters":
        """Return self.  Raises ConfigError listing every problem."""
        if problems := self.problems():
            raise ConfigError(*problems)
        return self


@dataclass(frozen=True, slots=True)
class SignedParameters:
    """Parameters as they travel: base64 texts."""

    body: str
    signature: str


def sign_parameters(
    parameters: NetworkParameters, ca_key: CertificateIssuerPrivateKeyTypes
) -> SignedParameters:
    """Sign with the key of the CA.  Raises ConfigError if the parameters make no sense."""
    body = encode_json(parameters.check())
    return SignedParameters(
        base64.b64encode(body).decode(), base64.b64encode(sign(ca_key, _CONTEXT + body)).decode()
    )


def verify_parameters_untrusted(signed: SignedParameters, ca: x509.Certificate) -> NetworkParameters:
    """Check the signature, then the content.  Raises WireError."""
    try:
        body = base64.b64decode(signed.body, validate=True)
        signature = base64.b64decode(signed.signature, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise WireError("network parameters: not base64") from exc
    try:
        verify(ca.public_key(), signature, _CONTEXT + body)
    except CertificateError as exc:
        raise WireError("network parameters: not signed by this network's CA") from exc
    parameters = decode_json_untrusted(NetworkParameters, body)
    if problems := parameters.problems():
        raise WireError(f"network parameters: {'; '.join(problems)}")
    return parameters
