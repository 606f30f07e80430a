"""Read a topology file: TOML in, a checked :class:`~netns_lab.topology.model.Topology` out.

``topologies/demo.toml`` shows the whole form.  Pure but for :func:`load_topology`, which reads the file.
"""

import math
import re
import tomllib
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from netns_lab.topology.model import BLOCKABLE, NAT_KINDS, Site, Topology
from re6st_core.errors import ConfigError

# A node's name becomes part of a namespace name and of file names.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}\Z")
_SITE_KEYS = frozenset({"name", "address", "nodes", "nat", "lan", "blocked"})
_MAX_RTT_MS = 10_000.0


def load_topology(path: Path) -> Topology:
    """Read and check a topology file.

    Raises ConfigError with every mistake found, each one starting with the file's name.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: not valid TOML: {exc}") from exc
    return parse_topology(document, name=path.stem, source=str(path))


def parse_topology(document: dict[str, Any], *, name: str, source: str) -> Topology:
    """Check a decoded TOML document; ConfigError lists every mistake, each prefixed with ``source``."""
    reader = _Reader()
    topology = reader.topology(document, name)
    if reader.mistakes or topology is None:
        raise ConfigError(*(f"{source}: {mistake}" for mistake in reader.mistakes))
    return topology


class _Reader:
    """Collects mistakes instead of stopping at the first one."""

    def __init__(self) -> None:
        self.mistakes: list[str] = []

    def topology(self, document: dict[str, Any], name: str) -> Topology | None:
        self._unknown("", document, {"title", "internet", "site", "delays"})
        title = self._text("title", document.get("title", name))
        internet = self._network("internet", document.get("internet"))
        tables = document.get("site")
        if not isinstance(tables, list) or not tables:
            self.mistakes.append("site: at least one [[site]] is needed")
            tables = []
        sites = [
            site for i, table in enumerate(tables) if (site := self._site(i, table, internet)) is not None
        ]
        self._unique(sites)
        rtt_ms = self._matrix(document.get("delays"), [str(_peek_name(t, i)) for i, t in enumerate(tables)])
        if self.mistakes or internet is None:
            return None
        return Topology(name, title, internet, tuple(sites), rtt_ms)

    def _site(self, index: int, table: object, internet: IPv4Network | None) -> Site | None:
        where = f"site {_peek_name(table, index)}"
        if not isinstance(table, dict):
            self.mistakes.append(f"{where}: must be a table")
            return None
        self._unknown(f"{where}: ", table, _SITE_KEYS)
        name = self._name(f"{where}: name", table.get("name"))
        address = self._address(f"{where}: address", table.get("address"), internet)
        nodes = self._list(f"{where}: nodes", table.get("nodes", [name]))
        names = tuple(self._name(f"{where}: nodes", node) for node in nodes)
        if not names:
            self.mistakes.append(f"{where}: nodes: at least one is needed")
        blocked = self._list(f"{where}: blocked", table.get("blocked", []))
        for protocol in blocked:
            self._one_of(f"{where}: blocked", protocol, BLOCKABLE)
        nat = table.get("nat")
        if nat is None:
            if "lan" in table:
                self.mistakes.append(f"{where}: lan: only behind a nat")
            if len(names) > 1:
                self.mistakes.append(f"{where}: nodes: several nodes need a nat")
            return Site(name, address, names, None, None, tuple(blocked))
        self._one_of(f"{where}: nat", nat, NAT_KINDS)
        if blocked:
            self.mistakes.append(f"{where}: blocked: not together with nat")
        return Site(name, address, names, str(nat), self._lan(where, table.get("lan"), internet, len(names)))

    def _lan(self, where: str, value: object, internet: IPv4Network | None, nodes: int) -> IPv4Network | None:
        lan = self._network(f"{where}: lan", value)
        if lan is not None and internet is not None and lan.overlaps(internet):
            self.mistakes.append(f"{where}: lan: {lan} overlaps the Internet {internet}")
        if lan is not None and lan.num_addresses < nodes + 12:  # .1 is the box, nodes start at .10
            self.mistakes.append(f"{where}: lan: {lan} is too small for {nodes} nodes")
        return lan

    def _unique(self, sites: list[Site]) -> None:
        kinds: dict[str, list[str]] = {
            "site": [site.name for site in sites],
            "node": [node for site in sites for node in site.nodes],
            "address": [str(site.address) for site in sites if site.address != _NOWHERE],
        }
        for kind, names in kinds.items():
            self.mistakes += [f"{kind} {name}: given twice" for name in _repeated(names)]

    def _matrix(self, delays: object, sites: list[str]) -> tuple[tuple[float, ...], ...]:
        if not isinstance(delays, dict):
            self.mistakes.append("delays: a [delays] table is needed")
            return ()
        self._unknown("delays: ", delays, {"rtt_ms"})
        rows = self._list("delays: rtt_ms", delays.get("rtt_ms"))
        if len(rows) != len(sites):
            self.mistakes.append(f"delays: rtt_ms: {len(rows)} rows for {len(sites)} sites")
        return tuple(self._row(i, row, sites) for i, row in enumerate(rows))

    def _row(self, index: int, row: object, sites: list[str]) -> tuple[float, ...]:
        where = f"delays: rtt_ms row {sites[index] if index < len(sites) else index}"
        values = self._list(where, row)
        if len(values) != len(sites):
            self.mistakes.append(f"{where}: {len(values)} values for {len(sites)} sites")
        for column, value in enumerate(values):
            if not _is_number(value) or not 0 <= value <= _MAX_RTT_MS:
                self.mistakes.append(f"{where}: column {column}: {value!r} is not a time from 0 to 10000 ms")
            elif column == index and value != 0:
                self.mistakes.append(f"{where}: a site is 0 ms from itself, not {value}")
        return tuple(float(value) if _is_number(value) else math.nan for value in values)

    def _unknown(self, where: str, table: dict[str, Any], known: frozenset[str] | set[str]) -> None:
        self.mistakes += [f"{where}{key}: unknown key" for key in sorted(table.keys() - known)]

    def _text(self, where: str, value: object) -> str:
        if not isinstance(value, str):
            self.mistakes.append(f"{where}: must be a text")
        return str(value)

    def _name(self, where: str, value: object) -> str:
        if not isinstance(value, str) or not _NAME.match(value):
            self.mistakes.append(f"{where}: {value!r} is not a name (a-z, 0-9, -, at most 20 characters)")
        return str(value)

    def _one_of(self, where: str, value: object, known: tuple[str, ...]) -> None:
        if value not in known:
            self.mistakes.append(f"{where}: {value!r} is not one of {', '.join(known)}")

    def _list(self, where: str, value: object) -> list[Any]:
        if isinstance(value, list):
            return value
        self.mistakes.append(f"{where}: must be a list")
        return []

    def _network(self, where: str, value: object) -> IPv4Network | None:
        try:
            return IPv4Network(str(value))
        except ValueError:
            self.mistakes.append(f"{where}: {value!r} is not an IPv4 network")
            return None

    def _address(self, where: str, value: object, internet: IPv4Network | None) -> IPv4Address:
        try:
            address = IPv4Address(str(value))
        except ValueError:
            self.mistakes.append(f"{where}: {value!r} is not an IPv4 address")
            return _NOWHERE
        if internet is not None and address not in internet:
            self.mistakes.append(f"{where}: {address} is not in the Internet {internet}")
        return address


_NOWHERE = IPv4Address("0.0.0.0")  # noqa: S104  # stands for an address that could not be read


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _peek_name(table: object, index: int) -> object:
    return table.get("name", index) if isinstance(table, dict) else index


def _repeated(names: list[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield name
        seen.add(name)
