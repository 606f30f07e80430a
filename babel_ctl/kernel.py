"""babeld's routes in the kernel: what is there, what should be, and how to set it right.

Two kinds are told apart by their metric.  A *live* route is one that a running babeld manages.  A *leftover*
comes from a babeld that died: it was moved to ``LEFTOVER_METRIC``, so that traffic goes on until the next
babeld's routes, which are better, take over; or it is held there in case babeld takes its own away.
babeld's unreachable routes have the worst metric of all (4294967295), so a leftover hides them until it is
deleted.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network
from typing import Final

from babel_ctl.config import RTPROT_BABEL
from babel_ctl.errors import RouterError
from babel_ctl.messages import Route
from babel_ctl.netlink import CREATE, REPLACE, Netlink
from re6st_core.errors import WireError
from re6st_core.netlink_wire import attribute, decode_attributes_untrusted, decode_u32_untrusted, u32

LEFTOVER_METRIC: Final = 100_000
DEFAULT_METRIC: Final = 1024
"""What the kernel makes of babeld's metric 0."""
UNICAST: Final = 1  # rtnetlink(7), rtm_type
MAIN_TABLE: Final = 254
ANYWHERE: Final = IPv6Network("::/0")

# rtnetlink(7)
_NEW_ROUTE: Final = 24
_DELETE_ROUTE: Final = 25
_GET_ROUTE: Final = 26
_ROUTE: Final = struct.Struct("=8BI")
"""Family, lengths of both prefixes, tos, table, protocol, scope, type, flags."""
_RTA_DST: Final = 1
_RTA_SRC: Final = 2
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5
_RTA_PRIORITY: Final = 6
_RTA_PREFSRC: Final = 7
_RTA_TABLE: Final = 15
_ONLINK: Final = 4
"""The next hop is there although no route leads to it."""

Destination = tuple[IPv6Network, IPv6Network]  # prefix, source prefix
NextHop = tuple[IPv6Address, str]  # address, interface name


@dataclass(frozen=True, slots=True)
class KernelRoute:
    """One IPv6 route of protocol babel."""

    prefix: IPv6Network
    source: IPv6Network
    metric: int
    gateway: IPv6Address | None
    oif: int
    pref_src: IPv6Address | None
    table: int
    type: int

    @property
    def destination(self) -> Destination:
        """What it leads to."""
        return self.prefix, self.source

    @property
    def is_leftover(self) -> bool:
        """Whether it was moved here from a babeld that died."""
        return self.metric == LEFTOVER_METRIC


@dataclass(frozen=True, slots=True)
class Differences:
    """What must be done so that the kernel does what babeld believes it does."""

    missing: frozenset[tuple[Destination, NextHop]]  # to be added, replacing another next hop
    surplus: frozenset[KernelRoute]  # to be deleted

    def __bool__(self) -> bool:
        return bool(self.missing or self.surplus)

    def __and__(self, other: Differences) -> Differences:
        return Differences(self.missing & other.missing, self.surplus & other.surplus)


def expected(routes: Iterable[Route]) -> dict[Destination, NextHop]:
    """Return what babeld's installed routes should be in the kernel; IPv4 is not ours."""
    found: dict[Destination, NextHop] = {}
    for route in routes:
        if not route.installed or route.metric >= 65535:
            continue
        if (
            isinstance(route.prefix, IPv6Network)
            and isinstance(route.source, IPv6Network)
            and isinstance(route.via, IPv6Address)
        ):
            found[route.prefix, route.source] = (route.via, route.interface)
    return found


def compare(
    kernel: Iterable[KernelRoute], wanted: Mapping[Destination, NextHop], names: Mapping[int, str]
) -> Differences:
    """Compare live unicast routes with what babeld installed; leftovers and unreachable routes don't count.

    ``names`` maps interface indexes to names.
    """
    right: set[Destination] = set()
    surplus: set[KernelRoute] = set()
    for route in kernel:
        if route.is_leftover or route.type != UNICAST:
            continue
        next_hop = (route.gateway, names.get(route.oif, ""))
        if wanted.get(route.destination) == next_hop and route.destination not in right:
            right.add(route.destination)
        else:
            surplus.add(route)
    missing = ((destination, hop) for destination, hop in wanted.items() if destination not in right)
    return Differences(frozenset(missing), frozenset(surplus))


def _decode(payload: bytes) -> KernelRoute | None:
    """A route of babel's from what the kernel tells; None for those of others."""
    _, dst_len, src_len, _, table, protocol, _, kind, _ = _ROUTE.unpack_from(payload)
    if protocol != RTPROT_BABEL:
        return None
    attributes = dict(decode_attributes_untrusted(payload[_ROUTE.size :]))

    def network(kind: int, length: int) -> IPv6Network:
        return IPv6Network((attributes.get(kind, bytes(16)), length))

    def address(kind: int) -> IPv6Address | None:
        return IPv6Address(attributes[kind]) if kind in attributes else None

    def number(kind: int, otherwise: int) -> int:
        return decode_u32_untrusted(attributes[kind]) if kind in attributes else otherwise

    return KernelRoute(
        prefix=network(_RTA_DST, dst_len),
        source=network(_RTA_SRC, src_len),
        metric=number(_RTA_PRIORITY, 0),
        gateway=address(_RTA_GATEWAY),
        oif=number(_RTA_OIF, 0),
        pref_src=address(_RTA_PREFSRC),
        table=number(_RTA_TABLE, table),
        type=kind,
    )


def _encode(route: KernelRoute) -> bytes:
    prefix, source = route.prefix, route.source
    flags = _ONLINK if route.gateway is not None else 0
    header = _ROUTE.pack(
        socket.AF_INET6, prefix.prefixlen, source.prefixlen, 0, 0, RTPROT_BABEL, 0, route.type, flags
    )
    words = [attribute(_RTA_DST, prefix.network_address.packed), u32(_RTA_OIF, route.oif)]
    words += [u32(_RTA_PRIORITY, route.metric), u32(_RTA_TABLE, route.table)]
    if source != ANYWHERE:
        words.append(attribute(_RTA_SRC, source.network_address.packed))
    if route.gateway is not None:
        words.append(attribute(_RTA_GATEWAY, route.gateway.packed))
    if route.pref_src is not None:
        words.append(attribute(_RTA_PREFSRC, route.pref_src.packed))
    return header + b"".join(words)


@contextmanager
def _netlink(*, strict: bool = False) -> Iterator[Netlink]:
    """Open a netlink socket; what fails within, opening included, is RouterError."""
    try:
        with Netlink(strict=strict) as netlink:
            yield netlink
    except (OSError, WireError, ValueError, struct.error) as exc:
        raise RouterError(f"netlink: {exc}") from exc


class KernelRoutes:
    """babeld's routes of one network in the kernel, through netlink.  Every method raises RouterError only.

    Routes whose prefix and source prefix are both outside the network belong to another babeld and are left
    alone.
    """

    def __init__(self, network: IPv6Network, address: IPv6Address) -> None:
        self._network = network
        self._address = address

    def _is_ours(self, route: KernelRoute) -> bool:
        return route.prefix.subnet_of(self._network) or route.source.subnet_of(self._network)

    async def routes(self) -> list[KernelRoute]:
        """Return all babel routes of the network, leftovers included."""
        question = _ROUTE.pack(socket.AF_INET6, 0, 0, 0, 0, RTPROT_BABEL, 0, 0, 0)
        with _netlink(strict=True) as netlink:
            routes = [_decode(payload) for payload in netlink.dump(_GET_ROUTE, question)]
        return [route for route in routes if route is not None and self._is_ours(route)]

    async def demote(self) -> list[KernelRoute]:
        """Turn every live route into a leftover, without a moment in between; return all leftovers.

        Called when no babeld of the network runs.  Unreachable routes of the dead one are removed.
        """
        routes = await self.routes()
        with _netlink() as netlink:
            for route in routes:
                if route.is_leftover:
                    continue
                if route.type == UNICAST:
                    _replace(netlink, replace(route, metric=LEFTOVER_METRIC))
                _delete(netlink, route)
        return [route for route in await self.routes() if route.is_leftover]

    def hold(self, routes: Mapping[IPv6Network, NextHop]) -> None:
        """Set the leftovers of these destinations, which carry when babeld's own route is taken away."""
        with _netlink() as netlink:
            for prefix, hop in routes.items():
                if (route := self._held(prefix, hop)) is not None:
                    _replace(netlink, route)

    def let_go(self, prefix: IPv6Network, hop: NextHop) -> None:
        """Undo :meth:`hold`; absence is fine."""
        if (route := self._held(prefix, hop)) is not None:
            with _netlink() as netlink:
                _delete(netlink, route)

    def _held(self, prefix: IPv6Network, hop: NextHop) -> KernelRoute | None:
        via, interface = hop
        try:
            oif = socket.if_nametoindex(interface)
        except OSError:
            return None  # gone, and its routes with it
        return KernelRoute(prefix, ANYWHERE, LEFTOVER_METRIC, via, oif, self._address, MAIN_TABLE, UNICAST)

    async def delete(self, routes: Iterable[KernelRoute]) -> None:
        """Delete these routes; those already gone are no error."""
        with _netlink() as netlink:
            for route in routes:
                _delete(netlink, route)

    async def repair(self, differences: Differences) -> None:
        """Add what is missing, then delete what is too much."""
        surplus = set(differences.surplus)
        with _netlink() as netlink:
            for (prefix, source), (via, interface) in differences.missing:
                try:
                    oif = socket.if_nametoindex(interface)
                except OSError:
                    continue  # gone meanwhile, and its routes with it
                route = KernelRoute(
                    prefix, source, DEFAULT_METRIC, via, oif, self._address, MAIN_TABLE, UNICAST
                )
                _replace(netlink, route)
                # "replace" took the place of the wrong route of the same metric.
                surplus = {
                    s for s in surplus if (s.destination, s.metric) != (route.destination, route.metric)
                }
            for route in surplus:
                _delete(netlink, route)


def _replace(netlink: Netlink, route: KernelRoute) -> None:
    _change("set", route, lambda: netlink.do(_NEW_ROUTE, _encode(route), flags=CREATE | REPLACE))


def _delete(netlink: Netlink, route: KernelRoute) -> None:
    _change("delete", route, lambda: netlink.do(_DELETE_ROUTE, _encode(route)))


def _change(verb: str, route: KernelRoute, change: Callable[[], None]) -> None:
    """Change one route; the kernel may have dropped it or its interface meanwhile, which is no error."""
    try:
        change()
    except OSError as exc:
        if exc.errno not in GONE:
            raise RouterError(f"kernel refuses to {verb} the route to {route.prefix}: {exc}") from exc


GONE: Final = frozenset({2, 3, 19, 22, 100, 101, 113})
"""ENOENT, ESRCH, ENODEV, EINVAL (its pref-src address is gone), ENETDOWN, ENETUNREACH, EHOSTUNREACH."""
