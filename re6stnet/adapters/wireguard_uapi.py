"""Userspace WireGuard's configuration protocol (https://www.wireguard.com/xplatform/), client side.

set=1            get=1                    lines key=value, keys in hexadecimal;
private_key=..   <empty line>             an empty line ends question and answer,
...              public_key=.. ...        whose last line is errno=0 or an error
<empty line>     errno=0
"""

import asyncio
import base64
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import RouterError, WireError
from re6stnet.adapters.wireguard_key import PrivateKey

MAX_ANSWER: Final = 65536
"""Bytes; one peer and two networks need less than 1,000."""
_TIMEOUT_S: Final = 5.0
_COUNTERS: Final = (
    "last_handshake_time_sec",
    "last_handshake_time_nsec",
    "rx_bytes",
    "tx_bytes",
    "listen_port",
)


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What a device says of itself and its one peer."""

    listen_port: int
    last_handshake_ns: int
    """Unix time; 0: never."""
    rx_bytes: int
    tx_bytes: int
    endpoint: Endpoint | None = None
    """Where it sends to now: where the peer's last packet came from.  None: nowhere yet, or not asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfig:
    """All that a device with one peer needs."""

    private_key: PrivateKey
    listen_port: int
    mark: int
    peer_key: str
    """Base64."""
    endpoint: Endpoint | None
    """None: wait for the peer to speak first."""
    keepalive_s: int
    """0: none."""


def encode_config(config: DeviceConfig) -> bytes:
    """The whole configuration, replacing any before."""
    lines = [
        "set=1",
        f"private_key={config.private_key.reveal().hex()}",
        f"listen_port={config.listen_port}",
        f"fwmark={config.mark}",
        "replace_peers=true",
        f"public_key={_hex(config.peer_key)}",
        *_endpoint(config.endpoint),
        f"persistent_keepalive_interval={config.keepalive_s}",
        "replace_allowed_ips=true",
        "allowed_ip=::/0",
        "allowed_ip=0.0.0.0/0",
    ]
    return _join(lines)


def encode_endpoint(peer_key: str, endpoint: Endpoint) -> bytes:
    """Send to ``endpoint`` from now on."""
    return _join(["set=1", f"public_key={_hex(peer_key)}", "update_only=true", *_endpoint(endpoint)])


GET: Final = b"get=1\n\n"


def decode_answer_untrusted(data: bytes) -> DeviceState:
    """Read an answer; what it leaves out is 0.  Raises WireError, also for an errno other than 0."""
    numbers = dict.fromkeys(_COUNTERS, 0)
    errno, endpoint = None, None
    for line in data.split(b"\n"):
        name, separator, value = line.partition(b"=")
        if name == b"endpoint":
            endpoint = _endpoint_in(value)
        if not line or (separator and name != b"errno" and name.decode("ascii", "replace") not in numbers):
            continue
        # isdigit() of bytes is ASCII only; int() has a limit on digits that we must not meet.
        digits = value.removeprefix(b"-")
        if not separator or not digits.isdigit() or len(value) > 20:
            raise WireError(f"WireGuard's answer has the line {line[:40]!r}")
        if name == b"errno":
            errno = int(value)
        else:
            numbers[name.decode()] = int(value)
    if errno is None:
        raise WireError("WireGuard's answer has no end")
    if errno:
        raise WireError(f"WireGuard answers error {abs(errno)}")
    handshake_ns = numbers["last_handshake_time_sec"] * 10**9 + numbers["last_handshake_time_nsec"]
    received, sent = numbers["rx_bytes"], numbers["tx_bytes"]
    return DeviceState(numbers["listen_port"], handshake_ns, received, sent, endpoint)


def _endpoint_in(value: bytes) -> Endpoint:
    """``192.0.2.1:1194`` or ``[2001:db8::1]:1194``.  Raises WireError."""
    host, _, port = value.decode("ascii", "replace").rpartition(":")
    try:
        ip = ip_address(host.strip("[]"))
        return Endpoint(ip, int(port if port.isdecimal() and len(port) <= 5 else "0"), Protocol.UDP)
    except ValueError as exc:
        raise WireError(f"WireGuard's answer has the endpoint {value[:60]!r}") from exc


async def ask(path: Path, question: bytes) -> DeviceState:
    """Put one question to the device behind a socket.

    Raises RouterError; ConnectionRefusedError or FileNotFoundError while nobody listens.
    """
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(path, limit=MAX_ANSWER)
            try:
                writer.write(question)
                await writer.drain()
                answer = await reader.readuntil(b"\n\n")
            finally:
                writer.close()
                await writer.wait_closed()
        return decode_answer_untrusted(answer)
    except (ConnectionRefusedError, FileNotFoundError):
        raise
    except TimeoutError as exc:
        raise RouterError(f"{path}: no answer in {_TIMEOUT_S:g} s") from exc
    except (OSError, EOFError, asyncio.LimitOverrunError, WireError) as exc:
        raise RouterError(f"{path}: {exc}") from exc


def _endpoint(endpoint: Endpoint | None) -> list[str]:
    if endpoint is None:
        return []
    host = f"[{endpoint.ip}]" if endpoint.ip.version == 6 else str(endpoint.ip)
    return [f"endpoint={host}:{endpoint.port}"]


def _hex(key: str) -> str:
    return base64.b64decode(key).hex()


def _join(lines: Iterable[str]) -> bytes:
    return ("\n".join(lines) + "\n\n").encode()
