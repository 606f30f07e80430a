"""Read the ``[[site]]``, ``[node.…]`` and ``[defaults]`` tables of a topology.  Pure.

Addresses that the file leaves open are given later, by :mod:`netns_lab.topology.addresses`, when all that are
stated are known.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from netns_lab.topology.contradictions import note_contradictions
from netns_lab.topology.form import Table, did_you_mean
from netns_lab.topology.model import (
    IP_VERSIONS,
    MTU_MAX,
    NAT_KINDS,
    PROTOCOLS,
    TRANSPORTS,
    UPNP,
    Node,
    Service,
    Site,
)

SITE_KEYS = (
    *("name", "count", "nodes", "address", "address6", "ip", "nat", "hairpin", "lan", "offline", "upnp"),
    *("blocked", "outbound", "inbound", "rate_mbit", "mtu", "jitter_ms", "loss", "city", "host"),
)
NODE_KEYS = ("transports", "options", "client_count", "clock_offset_s")
DEFAULT_KEYS = ("jitter_ms", "loss", "rate_mbit", "mtu", "ip", "client_count", "options", "transports")

JITTER_MAX_MS = 10_000
RATE_MIN_MBIT, RATE_MAX_MBIT = 0.001, 100_000
MTU_MIN = 576
_COUNT_MAX = 1000
_HOST_MAX = 1_000_000
_CLIENTS_MAX = 40
_CLOCK_MAX_S = 10 * 366 * 86400
_Value = TypeVar("_Value")

# A name becomes part of the names of namespaces, files and logs.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")
_NAME_FORM = "a-z, 0-9 and -, beginning with a letter, at most 20 characters"
# What the lab itself calls machines and files.
_RESERVED = {"internet": "the machine of the switch", "logs": "the folder of the logs"}
_RESERVED_ENDINGS = {"-box": "NAT boxes and firewalls", "-carrier": "the NAT boxes of carriers"}
_SERVICE = re.compile(r"(udp|tcp|icmp)(?:/([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Draft:
    """A site as read, the versions of IP it is to have, and the table that its mistakes belong to."""

    site: Site
    ip: tuple[str, ...]
    table: Table


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for every site and node that does not say otherwise."""

    values: Mapping[str, Any]  # Any: as in the document, already checked

    def over(self, table: Table, keys: tuple[str, ...]) -> Table:
        """The table with the defaults of these keys in it."""
        added = {key: self.values[key] for key in keys if key in self.values}
        return Table(table.mistakes, {**added, **table.values}, table.path, table.where)


def read_defaults(document: Table) -> Defaults:
    """The ``[defaults]`` table, checked on its own so that a mistake in it is noted once, where it is."""
    table = document.table("defaults", "defaults")
    if table is None:
        return Defaults({})
    table.only(DEFAULT_KEYS)
    noted = len(table.mistakes.found)
    _line(table)
    _ip(table)
    _options(table)
    good = len(table.mistakes.found) == noted
    return Defaults({key: table.values[key] for key in DEFAULT_KEYS if key in table.values} if good else {})


def read_sites(document: Table, defaults: Defaults) -> list[Draft]:
    """All ``[[site]]`` tables; names are checked, also against each other."""
    tables = document.tables("site")
    if not tables and isinstance(document.values.get("site", []), list):
        document.wrong("site", "at least one [[site]] is needed")
    drafts = [draft for table in tables for draft in _site(table, defaults)]
    _no_clash(drafts)
    return drafts


def read_nodes(document: Table, drafts: list[Draft], defaults: Defaults) -> tuple[Node, ...]:
    """What the ``[node.NAME]`` tables, or the defaults, say of each node."""
    given = document.table("node", "node")
    names = [name for draft in drafts for name in draft.site.nodes]
    tables: dict[str, Table] = {}
    for name in given.values if given else ():
        table = given.table(name, f"node {name}") if given else None
        if table is not None:
            if name not in names:
                table.wrong(None, f"there is no such node{did_you_mean(name, names)}")
            table.only(NODE_KEYS)
            tables[name] = table
    empty = Table(document.mistakes, {}, ("node",))
    return tuple(
        _node(name, draft.site.name, defaults.over(tables.get(name, empty), DEFAULT_KEYS))
        for draft in drafts
        for name in draft.site.nodes
    )


def _site(table: Table, defaults: Defaults) -> list[Draft]:
    """The sites that one table describes: several where it has a ``count``."""
    table.only(SITE_KEYS)
    offline = table.flag("offline")
    line = _line(table if offline else defaults.over(table, ("jitter_ms", "loss", "rate_mbit", "mtu")))
    ip = _ip(defaults.over(table, ("ip",))) or ("ipv4",)
    count = table.integer("count", 1, _COUNT_MAX)
    name = _name(table, "name", table.values.get("name"))
    names = [name] if count is None else [f"{name}{i + 1}" for i in range(count)]
    if count is not None:
        _name(table, "count", names[-1])
        for key in {"nodes", "address", "address6"} & table.values.keys():
            table.wrong(key, "not together with count: its sites are alike")
    common = Site(
        name=name,
        nodes=(),
        address=table.address4("address"),
        address6=table.address6("address6"),
        nat=table.one_of("nat", NAT_KINDS),
        hairpin=table.flag("hairpin"),
        lan=table.network4("lan"),
        offline=offline,
        upnp=table.one_of("upnp", UPNP),
        blocked=table.words("blocked", PROTOCOLS) or (),
        outbound=_services(table, "outbound"),
        inbound=_services(table, "inbound"),
        rate_mbit=line.rate_mbit,
        mtu=line.mtu,
        jitter_ms=line.jitter_ms,
        loss=line.loss,
    )
    cities = _each(table, "city", count, lambda value, *at: table.as_text("city", value, *at))
    hosts = _each(table, "host", count, lambda value, *at: table.as_integer("host", value, 0, _HOST_MAX, *at))
    drafts = [
        Draft(replace(common, name=each, nodes=_node_names(table, each), city=city, host=host), ip, table)
        for each, city, host in zip(names, cities, hosts, strict=True)
    ]
    note_contradictions(drafts[0].site, ip, table)
    return drafts


def _node(name: str, site: str, table: Table) -> Node:
    options = _options(table)
    return Node(
        name,
        site,
        transports=options.transports or TRANSPORTS,
        options=options.options,
        client_count=options.client_count,
        clock_offset_s=table.number("clock_offset_s", -_CLOCK_MAX_S, _CLOCK_MAX_S, "s") or 0.0,
    )


@dataclass(frozen=True, slots=True)
class _Line:
    rate_mbit: float | None
    mtu: int
    jitter_ms: float
    loss: float


def _line(table: Table) -> _Line:
    """What the access line does."""
    return _Line(
        table.number("rate_mbit", RATE_MIN_MBIT, RATE_MAX_MBIT),
        table.integer("mtu", MTU_MIN, MTU_MAX) or MTU_MAX,
        table.number("jitter_ms", 0, JITTER_MAX_MS) or 0.0,
        table.number("loss", 0, 1) or 0.0,
    )


def _ip(table: Table) -> tuple[str, ...] | None:
    """The versions of IP; at least one."""
    versions = table.words("ip", IP_VERSIONS)
    if table.values.get("ip") == []:
        table.wrong("ip", f"at least one of {', '.join(IP_VERSIONS)}")
    return versions


@dataclass(frozen=True, slots=True)
class _Options:
    transports: tuple[str, ...] | None
    options: tuple[str, ...]
    client_count: int | None


def _options(table: Table) -> _Options:
    """What re6stnet is to be started with."""
    transports = table.words("transports", TRANSPORTS)
    if table.values.get("transports") == []:
        table.wrong("transports", f"at least one of {', '.join(TRANSPORTS)}")
    options = table.items("options") or []
    for i, option in enumerate(options):
        if not isinstance(option, str):
            table.wrong("options", f"{option!r} is not a text", i)
    return _Options(
        transports,
        tuple(str(option) for option in options),
        table.integer("client_count", 0, _CLIENTS_MAX),
    )


def _each(
    table: Table, key: str, count: int | None, check: Callable[..., _Value | None]
) -> list[_Value | None]:
    """A value for each of the sites of a table: with ``count`` a list may give each its own."""
    value = table.values.get(key)
    if count is None or not isinstance(value, list):
        return [None if value is None else check(value)] * (count or 1)
    if len(value) != count:
        table.wrong(key, f"{len(value)} values for {count} sites")
    values = [check(each, i) for i, each in enumerate(value)]
    return (values + [None] * count)[:count]


def _services(table: Table, key: str) -> tuple[Service, ...] | None:
    """What a firewall lets through, such as ``["tcp/443", "icmp"]``."""
    values = table.items(key)
    if values is None:
        return None
    services: list[Service | None] = []
    for i, value in enumerate(values):
        match = _SERVICE.fullmatch(value) if isinstance(value, str) else None
        port = int(match[2]) if match and match[2] else None
        if match is None or (port is not None and (match[1] == "icmp" or not 0 < port < 65536)):
            table.wrong(key, f"{value!r} is not a service such as tcp/443, udp/1194, udp or icmp", i)
            services.append(None)
        else:
            services.append(Service(match[1], port))
    return tuple(table.different(key, services))


def _node_names(table: Table, site: str) -> tuple[str, ...]:
    values = table.items("nodes")
    if values is None:
        return (site,)
    if not values:
        table.wrong("nodes", "at least one is needed")
    return tuple(_name(table, "nodes", value, i) for i, value in enumerate(values))


def _name(table: Table, key: str, value: object, *inside: int) -> str:
    if value is None:
        table.wrong(None, "a name is needed")
    elif not isinstance(value, str) or not _NAME.fullmatch(value):
        table.wrong(key, f"{value!r} is not a name ({_NAME_FORM})", *inside)
    elif value in _RESERVED:
        table.wrong(key, f"{value!r} is the name of {_RESERVED[value]}", *inside)
    else:
        for ending, whose in _RESERVED_ENDINGS.items():
            if value.endswith(ending):
                table.wrong(key, f"{value!r}: names in {ending} are those of {whose}", *inside)
    return str(value)


def _no_clash(drafts: list[Draft]) -> None:
    """A name means one thing: a site, a node, or a site with its only node."""
    sites: dict[str, Draft] = {}
    nodes: dict[str, Draft] = {}
    for draft in drafts:
        name = draft.site.name
        if name in sites:
            draft.table.wrong("name", f"there is another site {name!r}")
        sites.setdefault(name, draft)
        for node in draft.site.nodes:
            if node in nodes:
                draft.table.wrong("nodes", f"there is another node {node!r} (site {nodes[node].site.name})")
            nodes.setdefault(node, draft)
    for name, draft in nodes.items():
        other = sites.get(name)
        if other is not None and other is not draft and other.site.name != draft.site.name:
            draft.table.wrong("nodes", f"{name!r} is the name of another site")
