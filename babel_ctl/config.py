"""Build babeld's arguments and configuration statements.  Pure: no I/O.

babeld takes filters only at start, so everything that filters is here; interfaces may follow at run time,
with the same ``InterfaceParameters``.  What is announced follows re6st's rules (specs/re6st-protocol.md
§7.1); what is accepted is ours.  First match wins:

    redistribute proto 42 deny          what babeld itself left in the kernel is never announced
    redistribute local deny             nor any address
    redistribute ip SUBNET eq LEN       the node's own prefix is
    redistribute deny                   and nothing else
    in ip NETWORK ge LEN src-ip ::/0 src-eq 0 allow
                                        a neighbour may announce prefixes of the network, for any source,
    in deny                             and nothing else: it may be any member, and we forward to the Internet
    install pref-src ADDRESS            packets to the mesh leave with the overlay address

So no member can take the default route, a host of the Internet, or IPv4 from another.  A node that wants a
default route over the mesh (re6st's ``--gateway``: ``::/0``, from the network) needs one more
``in ... allow`` before ``in deny``; ``KernelRoutes`` calls such a route ours already.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Final, Literal

from re6st_core.errors import ConfigError

RTPROT_BABEL: Final = 42
PLACEHOLDER_INTERFACE: Final = "re6st-none"
"""babeld refuses to start without interfaces; a name that does not exist costs nothing."""
MAX_NAME: Final = 15
LIMITS: Final = {
    "hello_interval_s": 655,
    "update_interval_s": 655,
    "rxcost": 65535,
    "max_rtt_penalty": 65535,
    "rtt_min_ms": 1_000_000,
    "rtt_max_ms": 1_000_000,
    "rtt_decay": 256,
}
"""What babeld 1.12 takes; it refuses zeros."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceParameters:
    """Parameters of one interface (babeld(8)); None leaves babeld's default.

    The defaults are those of a tunnel: metric proportional to delay, 10 per millisecond above a small base
    cost. babeld ignores parameters for an interface it has already: flush it first.

    ``rtt_decay``, in 256ths, is twice babeld's own: the first round trip that a babeld sees while it starts
    is often much too long, and kept the best way from being used for 25 s.

    ``link_quality`` makes the cost follow the share of hellos that arrive (ETX); without it babeld gives a
    neighbour up after two missed ones.  Measured with hello 1 s (docs/decisions/0008-babeld-settings.md): a
    silent neighbour is given up after 2.5 to 3.6 s without, 12.1 to 14.3 s with it (cost 256 after 6 s); a
    babeld that restarts loses the way back for 0.64 to 0.70 s without, hardly a packet with it.  It is for
    interfaces whose neighbours are watched by other means.
    """

    type: Literal["auto", "wired", "wireless", "tunnel"] = "tunnel"
    hello_interval_s: float | None = None
    update_interval_s: float | None = None
    rxcost: int | None = 16
    rtt_min_ms: int | None = 1
    rtt_max_ms: int | None = 500
    max_rtt_penalty: int | None = 5000
    rtt_decay: int | None = 85
    split_horizon: bool | None = None
    link_quality: bool | None = True
    key: str | None = None
    """Name of the key that authenticates all packets of the interface (RFC 8967); None: none does."""

    def __post_init__(self) -> None:
        problems = []
        for name, highest in LIMITS.items():
            value = getattr(self, name)
            if value is not None and not 0 < value <= highest:
                problems.append(f"{_keyword(name)} {value:g} is not above 0 and at most {highest}")
        if problems:
            raise ConfigError(*problems)

    def statement(self, name: str) -> str:
        """Return ``interface NAME parameter...``; raises ConfigError on a name that is not one."""
        return f"interface {check_name(name)} {self}"

    def __str__(self) -> str:
        words = [f"type {self.type}"]
        for option in fields(self)[1:]:
            value = getattr(self, option.name)
            if value is not None:
                words.append(f"{_keyword(option.name)} {_value(value)}")
        return " ".join(words)


LAN: Final = InterfaceParameters(
    type="auto",
    rxcost=None,
    rtt_min_ms=None,
    rtt_max_ms=None,
    max_rtt_penalty=None,
    rtt_decay=None,
    link_quality=None,
)
"""A LAN shared with other babel speakers: babeld's own defaults."""


def _keyword(name: str) -> str:
    return name.removesuffix("_ms").removesuffix("_s").replace("_", "-")


def _value(value: float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def key_statement(name: str, secret: bytes) -> str:
    """Return ``key id NAME ...``: define a key, or change it, which takes effect at once.

    It contains the secret: it must not be logged, nor be an argument of a program.  Raises ConfigError.
    """
    if not name.isascii() or not name.isalnum() or len(name) > MAX_NAME:
        raise ConfigError(f"not the name of a key: {name!r}")
    if not 16 <= len(secret) <= 64:
        raise ConfigError(f"a key of {len(secret)} bytes: 16 to 64 are needed")
    return f"key id {name} type hmac-sha256 value {secret.hex()}"


def check_name(name: str) -> str:
    """Return the name of a network interface as it is, or raise ConfigError."""
    if not 0 < len(name) <= MAX_NAME or not name.isascii() or any(c.isspace() or c in '/"#' for c in name):
        raise ConfigError(f"not the name of a network interface: {name!r}")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class BabeldConfig:
    """Everything babeld is started with."""

    control_socket: Path
    state_file: Path
    log_file: Path
    network: IPv6Network  # the whole mesh
    subnet: IPv6Network  # announced as our own, when the kernel has a route or address of exactly this prefix
    address: IPv6Address  # source of our packets into the mesh
    hello_interval_s: float = 4.0
    interfaces: tuple[tuple[str, InterfaceParameters], ...] = ()
    router_id: str | None = None
    statements: tuple[str, ...] = ()  # the operator's; after ours, so that they cannot undo a filter
    port: int = 6696
    group: IPv6Address = field(default=IPv6Address("ff02::1:6"))
    program: str = "babeld"

    def __post_init__(self) -> None:
        problems = []
        if not self.subnet.subnet_of(self.network):
            problems.append(f"subnet {self.subnet} is not in the network {self.network}")
        if self.address not in self.subnet:
            problems.append(f"address {self.address} is not in the subnet {self.subnet}")
        if not 0.01 <= self.hello_interval_s <= 655:
            problems.append(f"hello interval {self.hello_interval_s} s is not between 0.01 and 655")
        paths = (self.control_socket, self.state_file, self.log_file)
        problems += [f"{path} is not absolute" for path in paths if not path.is_absolute()]
        problems += [f"statement with a line break: {text!r}" for text in self.statements if "\n" in text]
        if problems:
            raise ConfigError(*problems)

    def configuration(self) -> tuple[str, ...]:
        """Return babeld's statements, in order."""
        lines = []
        if self.router_id:
            lines.append(f"router-id {self.router_id}")
        lines += [
            f"redistribute proto {RTPROT_BABEL} deny",
            "redistribute local deny",
            f"redistribute ip {self.subnet} eq {self.subnet.prefixlen}",
            "redistribute deny",
            f"in ip {self.network} ge {self.network.prefixlen} src-ip ::/0 src-eq 0 allow",
            "in deny",
            f"install pref-src {self.address}",
            *self.statements,
        ]
        return (*lines, *(parameters.statement(name) for name, parameters in self.interfaces))

    def argv(self) -> tuple[str, ...]:
        """Return the command line; split horizon is off, as server-mode tunnels need it (re6st §7.1)."""
        hello = f"{self.hello_interval_s:g}"
        words = [self.program, "-h", hello, "-H", hello, "-s", "-I", "", "-S", str(self.state_file)]
        words += ["-L", str(self.log_file), "-G", str(self.control_socket)]
        words += ["-m", str(self.group), "-p", str(self.port)]
        for statement in self.configuration():
            words += ["-C", statement]
        # Without -c, babeld reads /etc/babeld.conf, which belongs to another babeld.
        words += ["-c", "/dev/null"]
        return (*words, *(() if self.interfaces else (PLACEHOLDER_INTERFACE,)))
