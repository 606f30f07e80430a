"""Settings of the node: one validated frozen object, made once, from the option file and the arguments."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from re6st_core.address import IPAddress
from re6st_core.errors import ConfigError, WireError
from re6st_core.peer_wire import OPENVPN, WIREGUARD
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import https_url

DEFAULT_PORT = 1194
TRANSPORTS = (WIREGUARD, OPENVPN)
_DEVICE = re.compile(r"[A-Za-z0-9_.@-]{1,15}")
_COUNTRY = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator decided; every path absolute."""

    registry: str
    ca: Path
    cert: Path
    key: Path
    log: Path
    run: Path
    state: Path
    port: int = DEFAULT_PORT
    ip: tuple[IPAddress, ...] = ()
    """Addresses to announce; empty: found out."""
    main_interface: str = "lo"
    interfaces: tuple[str, ...] = ()
    """Extra Babel interfaces (LAN)."""
    client_count: int | None = None
    """None: as the network says."""
    max_clients: int | None = None
    country: str | None = None
    neighbours: tuple[Prefix, ...] = ()
    """Nodes to have a tunnel with, whatever it carries."""
    transports: tuple[str, ...] = TRANSPORTS
    """What tunnels may be made of."""
    verbose: int = 2

    @property
    def babel_socket(self) -> Path:
        """babeld's control socket."""
        return self.run / "babeld.sock"

    @property
    def status_socket(self) -> Path:
        """Where ``re6st`` asks."""
        return self.run / "re6stnet.sock"


def settings_from(options: Mapping[str, Any], *, base: Path) -> Settings:
    """Validate options (name -> text, list of texts, or None); relative paths start at ``base``.

    Raises ConfigError with every mistake.
    """
    problems: list[str] = []
    for name in ("registry", "ca", "cert", "key"):
        if not options.get(name):
            problems.append(f"option --{name} is missing")
    if options.get("registry"):
        try:
            https_url(options["registry"])
        except ConfigError as exc:
            problems += exc.problems
    numbers = {
        name: _number(name, options.get(name), low, high, problems)
        for name, low, high in (
            ("port", 1, 65535),
            ("client_count", 0, 40),
            ("max_clients", 0, 40),
            ("verbose", 0, 4),
        )
    }
    addresses = [a for text in options.get("ip") or () if (a := _address(text, problems)) is not None]
    devices = _devices(options, problems)
    country = options.get("country")
    if country is not None and not _COUNTRY.fullmatch(country):
        problems.append(f"--country {country!r} is not an ISO 3166 code of two capital letters")
    neighbours = _neighbours(options.get("neighbour") or (), problems)
    transports = tuple(dict.fromkeys(options.get("transport") or TRANSPORTS))
    problems += [
        f"--transport {each!r} is not one of {', '.join(TRANSPORTS)}"
        for each in transports
        if each not in TRANSPORTS
    ]
    paths = {
        name: base / options[name]
        for name in ("ca", "cert", "key", "log", "run", "state")
        if options.get(name)
    }
    if len({paths.get(name) for name in ("run", "state", "log")}) < 3:
        problems.append("--run, --state and --log must be three different directories")
    for name in ("ca", "cert", "key"):
        if name in paths and not paths[name].is_file():
            problems.append(f"--{name} {paths[name]} does not exist: create it with re6st-conf")
    if problems:
        raise ConfigError(*problems)
    main_interface, interfaces = devices
    return Settings(
        registry=options["registry"],
        **paths,
        port=numbers["port"] or DEFAULT_PORT,
        ip=tuple(addresses),
        main_interface=main_interface,
        interfaces=interfaces,
        client_count=numbers["client_count"],
        max_clients=numbers["max_clients"],
        country=country,
        neighbours=neighbours,
        transports=transports,
        verbose=2 if numbers["verbose"] is None else numbers["verbose"],
    )


def _number(name: str, text: str | None, low: int, high: int, problems: list[str]) -> int | None:
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,9}", text) or not low <= int(text) <= high:
        problems.append(f"--{name.replace('_', '-')} {text!r} is not a number between {low} and {high}")
        return None
    return int(text)


def _address(text: str, problems: list[str]) -> IPAddress | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        problems.append(f"--ip {text!r} is not an IPv4 or IPv6 address")
        return None
    if address.is_unspecified or address.is_multicast or address.is_link_local:
        problems.append(f"--ip {text} is not an address where others can reach this host")
        return None
    return address


def _neighbours(texts: Sequence[str], problems: list[str]) -> tuple[Prefix, ...]:
    found = []
    for text in texts:
        try:
            found.append(Prefix.from_cn(text))
        except WireError:
            problems.append(f"--neighbour {text[:60]!r} is not the prefix of a node, such as 5/16")
    return tuple(dict.fromkeys(found))


def _devices(options: Mapping[str, Any], problems: list[str]) -> tuple[str, tuple[str, ...]]:
    main: str = options.get("main_interface") or "lo"
    extra: Sequence[str] = options.get("interface") or ()
    problems += [
        f"{device!r} is not the name of a network interface"
        for device in (main, *extra)
        if not _DEVICE.fullmatch(device)
    ]
    if main in extra:
        problems.append(f"{main} cannot be both --main-interface and --interface")
    if len(set(extra)) < len(extra):
        problems.append("an --interface is given twice")
    return main, tuple(extra)
