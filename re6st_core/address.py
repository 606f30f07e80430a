"""Endpoints of the underlay where a node can be reached, and their text form (``re6st-protocol.md`` §6.5).

IP,PORT,PROTO[,COUNTRY][;IP,PORT,PROTO[,COUNTRY]...]     in the announcer's order of preference
"""

import enum
import ipaddress
import re
from collections.abc import Iterable

from re6st_core.errors import WireError
from re6st_core.value import Value

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
MAX_ENDPOINTS = 16
"""More than any host needs; bounds what a peer can make us try."""

_COUNTRY = re.compile(r"[A-Z]{2}")


class Protocol(enum.Enum):
    """Transport protocol of an endpoint; the address family follows from the address."""

    UDP = "udp"
    TCP = "tcp"


_PROTOCOLS = {
    "udp": Protocol.UDP,
    "udp4": Protocol.UDP,
    "udp6": Protocol.UDP,
    "tcp": Protocol.TCP,
    "tcp4": Protocol.TCP,
    "tcp6": Protocol.TCP,
}


class Endpoint(Value):
    """One address and port; raises ``ValueError`` if no packet could ever be sent there."""

    __slots__ = ("country", "ip", "port", "protocol")
    ip: IPAddress
    port: int
    protocol: Protocol
    country: str | None

    def __init__(self, ip: IPAddress, port: int, protocol: Protocol, country: str | None = None) -> None:
        if not 1 <= port <= 65535:
            raise ValueError(f"port {port} is out of range")
        if ip.is_multicast or ip.is_unspecified:
            raise ValueError(f"{ip} is not the address of a host")
        if isinstance(ip, ipaddress.IPv6Address) and (ip.is_link_local or ip.ipv4_mapped):
            raise ValueError(f"{ip} is not an address for the underlay")
        self._set(ip=ip, port=port, protocol=protocol, country=country)

    def _key(self) -> tuple[object, ...]:
        return self.ip.version, int(self.ip), self.port, self.protocol.value, self.country or ""

    def __reduce__(self) -> tuple[object, ...]:
        return Endpoint, (self.ip, self.port, self.protocol, self.country)

    @property
    def socket_address(self) -> tuple[str, int]:
        """Host text and port, as sockets take them."""
        return str(self.ip), self.port

    def __str__(self) -> str:
        suffix = "6" if self.ip.version == 6 else ""
        fields = [str(self.ip), str(self.port), self.protocol.value + suffix]
        return ",".join([*fields, self.country] if self.country else fields)


def format_endpoints(endpoints: Iterable[Endpoint]) -> str:
    """Text form of a list, ``""`` for none."""
    return ";".join(map(str, endpoints))


def decode_endpoint_untrusted(text: str) -> Endpoint:
    """Read one ``IP,PORT,PROTO[,COUNTRY]``.  Raises WireError."""
    fields = text.split(",")
    if not 3 <= len(fields) <= 4:
        raise WireError(f"endpoint {text[:80]!r} is not IP,PORT,PROTO[,COUNTRY]")
    host, port, protocol, *country = fields
    if protocol not in _PROTOCOLS or not re.fullmatch("[0-9]{1,5}", port):
        raise WireError(f"endpoint {text[:80]!r} has an unknown protocol or port")
    if country and not _COUNTRY.fullmatch(country[0]):
        raise WireError(f"endpoint {text[:80]!r} has a malformed country")
    if "%" in host or len(host) > 45:
        raise WireError(f"endpoint {text[:80]!r} has a malformed address")
    try:
        address = ipaddress.ip_address(host)
        return Endpoint(address, int(port), _PROTOCOLS[protocol], country[0] if country else None)
    except ValueError as exc:
        raise WireError(f"endpoint {text[:80]!r}: {exc}") from exc


def decode_endpoints_untrusted(text: str) -> tuple[Endpoint, ...]:
    """Read a list; empty text is an empty list.  Raises WireError, also above ``MAX_ENDPOINTS``."""
    if not text:
        return ()
    entries = text.split(";", MAX_ENDPOINTS)
    if len(entries) > MAX_ENDPOINTS:
        raise WireError(f"more than {MAX_ENDPOINTS} endpoints")
    return tuple(map(decode_endpoint_untrusted, entries))
