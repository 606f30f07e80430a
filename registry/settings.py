"""Settings of one registry: ``registry.toml`` in its directory, written by ``init``, edited by the operator.

network = "2001:db8:42::/48"
hosts = ["203.0.113.1"]
port = 80
prefix_length = 16
anonymous_prefix_length = 0

[parameters]                 # any of re6st_core.netparams.NetworkParameters
hello_s = 0.5
"""

import json
import tomllib
from dataclasses import dataclass, field, fields
from ipaddress import IPv6Address, ip_address
from typing import Any

import msgspec

from caucase_ca.policy import general_name
from re6st_core.errors import ConfigError, WireError
from re6st_core.netparams import NetworkParameters
from re6st_core.prefix import Network

NOT_SETTABLE = ("version", "revoked", "mac_epoch", "mac_from", "mac_digest", "ca")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator decides; make it with :func:`check_settings` or :func:`parse_settings`."""

    network: Network
    hosts: tuple[str, ...]
    """Names and addresses of the registry's host, which its certificate carries; the first is advertised."""
    port: int = 80
    """Of plain HTTP; HTTPS is on 443 for 80, else on the next one."""
    prefix_length: int = 16
    """Bits of the prefix that a token gives, unless it says otherwise."""
    anonymous_prefix_length: int = 0
    """The same without token; 0: a token is needed."""
    parameters: NetworkParameters = field(default_factory=lambda: NetworkParameters(version=1))
    """For all nodes; version and revocations come from the database."""

    @property
    def https_port(self) -> int:
        """Where everything is but the CA certificate and the revocation list."""
        return 443 if self.port == 80 else self.port + 1

    @property
    def url(self) -> str:
        """What nodes are told."""
        host = self.hosts[0]
        try:
            host = f"[{host}]" if isinstance(ip_address(host), IPv6Address) else host
        except ValueError:
            pass
        return f"http://{host}/" if self.port == 80 else f"http://{host}:{self.port}/"

    def problems(self) -> list[str]:
        """Everything that is wrong, one line each."""
        free = self.network.free_bits
        found = [] if self.hosts else ["hosts: at least one name or address of the registry is needed"]
        for host in self.hosts:
            try:
                general_name(host)
            except ConfigError as exc:
                found.append(f"hosts: {exc}")
        if not 1 <= self.port <= 65534 or self.port == 443:
            found.append(f"port = {self.port}: HTTP needs a port below 65535 other than 443")
        if not 1 <= self.prefix_length <= free:
            found.append(f"prefix_length = {self.prefix_length} is outside 1..{free}")
        if not 0 <= self.anonymous_prefix_length <= free:
            found.append(f"anonymous_prefix_length = {self.anonymous_prefix_length} is outside 0..{free}")
        return found + [f"parameters: {problem}" for problem in self.parameters.problems()]


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """The file's top level, as TOML types."""

    network: str
    hosts: tuple[str, ...]
    port: int = 80
    prefix_length: int = 16
    anonymous_prefix_length: int = 0
    parameters: dict[str, Any] = field(default_factory=dict)


def check_settings(settings: Settings) -> Settings:
    """Return the settings.  Raises ConfigError listing every problem."""
    if problems := settings.problems():
        raise ConfigError(*problems)
    return settings


def parse_settings(text: str) -> Settings:
    """Read ``registry.toml``.  Raises ConfigError listing every problem that can be told."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"registry.toml: {exc}") from exc
    problems = [
        f"registry.toml: unknown option {name!r}" for name in raw.keys() - {f.name for f in fields(_File)}
    ]
    table = raw.get("parameters", {})
    names = {f.name for f in fields(NetworkParameters)}.difference(NOT_SETTABLE)
    if isinstance(table, dict):
        problems += [f"registry.toml: unknown parameter {name!r}" for name in table.keys() - names]
    try:
        read = msgspec.convert(raw, _File)
        parameters = msgspec.convert({**read.parameters, "version": 1, "revoked": ()}, NetworkParameters)
        network = Network.parse(read.network)
    except (msgspec.ValidationError, WireError) as exc:
        raise ConfigError(*problems, f"registry.toml: {exc}") from exc
    settings = Settings(
        network=network,
        hosts=read.hosts,
        port=read.port,
        prefix_length=read.prefix_length,
        anonymous_prefix_length=read.anonymous_prefix_length,
        parameters=parameters,
    )
    problems += [f"registry.toml: {problem}" for problem in settings.problems()]
    if problems:
        raise ConfigError(*sorted(problems))
    return settings


def format_settings(settings: Settings) -> str:
    """Text of a ``registry.toml`` that reads as these settings, with all parameters to be seen."""
    lines = [
        "# Settings of this registry; re6st-registry run must be restarted to read them again.",
        f"network = {_toml(str(settings.network))}",
        f"hosts = {_toml(settings.hosts)}",
        f"port = {settings.port}",
        f"prefix_length = {settings.prefix_length}",
        f"anonymous_prefix_length = {settings.anonymous_prefix_length}  # 0: only with a token",
        "",
        "[parameters]  # for all nodes",
    ]
    lines += [
        f"{f.name} = {_toml(getattr(settings.parameters, f.name))}"
        for f in fields(NetworkParameters)
        if f.name not in NOT_SETTABLE
    ]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """Strings, numbers and lists of strings look in JSON as in TOML."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)
