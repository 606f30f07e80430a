"""A network's and a node's IPv6 prefix: bits, CN text and addresses (``re6st-protocol.md`` §1).

network  2001:db8:42::/48      CA serial 0x1_20010db80042: a leading 1, then the network's bits
prefix   2/16                  INT/LEN in a certificate's CN: relative to the network
subnet   2001:db8:42:2::/64    network bits, then prefix bits
address  2001:db8:42:2::1      the subnet's first address ending in 1 (a /128: itself)
"""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from re6st_core.errors import WireError
from re6st_core.value import Value

_CN = re.compile(r"(0|[1-9][0-9]{0,38})/(0|[1-9][0-9]{0,2})")


class Prefix(Value):
    """Bits allocated to one node, relative to its network; ``value`` is ``length`` bits wide.

    Raises ``ValueError`` if the value does not fit.
    """

    __slots__ = ("length", "value")
    length: int
    value: int

    def __init__(self, length: int, value: int) -> None:
        if not 0 <= length <= 128 or not 0 <= value < 1 << length:
            raise ValueError(f"{value}/{length} is not a prefix")
        self._set(length=length, value=value)

    @classmethod
    def from_cn(cls, text: str) -> "Prefix":
        """Read ``INT/LEN`` (decimal, no padding).  Raises WireError."""
        match = _CN.fullmatch(text)
        if match is None:
            raise WireError(f"{text[:60]!r} is not a prefix of the form INT/LEN")
        try:
            return cls(int(match[2]), int(match[1]))
        except ValueError as exc:
            raise WireError(str(exc)) from exc

    @classmethod
    def from_bits(cls, bits: str) -> "Prefix":
        """Read a bit string such as ``"0010"``.  Raises WireError."""
        if len(bits) > 128 or set(bits) - {"0", "1"}:
            raise WireError(f"{bits[:60]!r} is not a bit string")
        return cls(len(bits), int(bits, 2) if bits else 0)

    @property
    def cn(self) -> str:
        """``INT/LEN``, as in a certificate's CN."""
        return f"{self.value}/{self.length}"

    @property
    def bits(self) -> str:
        """Bit string, leading zeros kept."""
        return format(self.value, f"0{self.length}b") if self.length else ""

    def contains(self, other: "Prefix") -> bool:
        """Whether ``other`` is this prefix or lies inside it."""
        return other.length >= self.length and other.value >> (other.length - self.length) == self.value

    def overlaps(self, other: "Prefix") -> bool:
        """Whether the two have an address in common."""
        return self.contains(other) or other.contains(self)

    def halves(self) -> tuple["Prefix", "Prefix"]:
        """Split in the 0 half and the 1 half.  Raises ValueError at 128 bits."""
        return Prefix(self.length + 1, self.value << 1), Prefix(self.length + 1, self.value << 1 | 1)

    # As those of Value, spelled out: a node asks its tables by prefix all the time.
    def __eq__(self, other: object) -> bool:
        return type(other) is Prefix and self.value == other.value and self.length == other.length

    def __hash__(self) -> int:
        return hash((self.length, self.value))

    def __str__(self) -> str:
        return self.cn


@dataclass(frozen=True, slots=True)
class Network:
    """The overlay's own IPv6 prefix."""

    cidr: IPv6Network

    @classmethod
    def parse(cls, text: str) -> "Network":
        """Read ``2001:db8:42::/48``.  Raises WireError, also if host bits are set."""
        try:
            return cls(IPv6Network(text))
        except ValueError as exc:
            raise WireError(f"{text[:60]!r} is not an IPv6 network: {exc}") from exc

    @classmethod
    def from_ca_serial(cls, serial: int) -> "Network":
        """Decode a CA certificate's serial number.  Raises WireError."""
        length = serial.bit_length() - 1
        if serial < 0 or not 1 <= length <= 127:
            raise WireError(f"CA serial {serial:#x} does not encode a network")
        bits = serial - (1 << length)
        return cls(IPv6Network((bits << (128 - length), length)))

    @property
    def ca_serial(self) -> int:
        """The serial number that the CA certificate of this network has."""
        return 1 << self.cidr.prefixlen | int(self.cidr.network_address) >> (128 - self.cidr.prefixlen)

    @property
    def free_bits(self) -> int:
        """How many bits a prefix may have at most."""
        return 128 - self.cidr.prefixlen

    def subnet(self, prefix: Prefix) -> IPv6Network:
        """The IPv6 prefix of a node.  Raises WireError if it is longer than the network leaves room for."""
        length = self.cidr.prefixlen + prefix.length
        if length > 128:
            raise WireError(f"prefix {prefix} does not fit in {self.cidr}")
        return IPv6Network((int(self.cidr.network_address) | prefix.value << (128 - length), length))

    def address(self, prefix: Prefix) -> IPv6Address:
        """The overlay address of a node.  Raises WireError like :meth:`subnet`."""
        subnet = self.subnet(prefix)
        return subnet.network_address + (subnet.prefixlen < 128)

    def prefix_of(self, subnet: IPv6Network) -> Prefix:
        """The prefix whose :meth:`subnet` this is.  Raises WireError if it lies outside the network."""
        if not subnet.subnet_of(self.cidr):
            raise WireError(f"{subnet} is outside {self.cidr}")
        length = subnet.prefixlen - self.cidr.prefixlen
        return Prefix(length, int(subnet.network_address) >> (128 - subnet.prefixlen) & ((1 << length) - 1))

    def __str__(self) -> str:
        return str(self.cidr)
