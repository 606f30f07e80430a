"""babeld's routes in the kernel: what is there, what should be, and how to set it right.

Two kinds are told apart by their metric.  A *live* route is one that a running babeld manages.  A *leftover*
comes from a babeld that died: it was moved to ``LEFTOVER_METRIC``, so that traffic goes on until the next
babeld's routes, which are better, take over.  babeld's own unreachable routes have the worst metric of all
(4294967295), so a leftover hides them until it is deleted.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network
from typing import Any, Final

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkDecodeError, NetlinkError

from babel_ctl.config import RTPROT_BABEL
from babel_ctl.errors import RouterError
from babel_ctl.messages import Route

LEFTOVER_METRIC: Final = 100_000
DEFAULT_METRIC: Final = 1024
"""What the kernel makes of babeld's metric 0."""
UNICAST: Final = 1  # rtnetlink(7), rtm_type
MAIN_TABLE: Final = 254
ANYWHERE: Final = IPv6Network("::/0")

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


def _from_netlink(message: Any) -> KernelRoute:
    attributes = dict(message["attrs"])

    def network(name: str, length: int) -> IPv6Network:
        return IPv6Network((attributes.get(name, "::"), length))

    def address(name: str) -> IPv6Address | None:
        return IPv6Address(attributes[name]) if name in attributes else None

    return KernelRoute(
        prefix=network("RTA_DST", message["dst_len"]),
        source=network("RTA_SRC", message["src_len"]),
        metric=attributes.get("RTA_PRIORITY", 0),
        gateway=address("RTA_GATEWAY"),
        oif=attributes.get("RTA_OIF", 0),
        pref_src=address("RTA_PREFSRC"),
        table=attributes.get("RTA_TABLE", message["table"]),
        type=message["type"],
    )


def _to_netlink(route: KernelRoute) -> dict[str, Any]:
    words: dict[str, Any] = {
        "dst": str(route.prefix),
        "oif": route.oif,
        "priority": route.metric,
        "table": route.table,
        "type": route.type,
        "proto": RTPROT_BABEL,
    }
    if route.source != ANYWHERE:
        words["src"] = str(route.source)
    if route.gateway is not None:
        words |= {"gateway": str(route.gateway), "flags": ["onlink"]}
    if route.pref_src is not None:
        words["prefsrc"] = str(route.pref_src)
    return words


@asynccontextmanager
async def _netlink(*, strict: bool = False) -> AsyncIterator[AsyncIPRoute]:
    """Open a netlink socket; what fails within, opening included, is RouterError.

    pyroute2's own error is a bare Exception, neither an OSError nor anything else that callers look for.
    """
    try:
        async with AsyncIPRoute(strict_check=strict) as netlink:
            yield netlink
    except (NetlinkError, NetlinkDecodeError, OSError) as exc:
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
        async with _netlink(strict=True) as netlink:
            dump = await netlink.route("dump", family=socket.AF_INET6, proto=RTPROT_BABEL)
            routes = [_from_netlink(m) async for m in dump if m["proto"] == RTPROT_BABEL]
        return [route for route in routes if self._is_ours(route)]

    async def demote(self) -> list[KernelRoute]:
        """Turn every live route into a leftover, without a moment in between; return all leftovers.

        Called when no babeld of the network runs.  Unreachable routes of the dead one are removed.
        """
        routes = await self.routes()
        async with _netlink() as netlink:
            for route in routes:
                if route.is_leftover:
                    continue
                if route.type == UNICAST:
                    await self._try(netlink, "replace", replace(route, metric=LEFTOVER_METRIC))
                await self._try(netlink, "del", route)
        return [route for route in await self.routes() if route.is_leftover]

    async def delete(self, routes: Iterable[KernelRoute]) -> None:
        """Delete these routes; those already gone are no error."""
        async with _netlink() as netlink:
            for route in routes:
                await self._try(netlink, "del", route)

    async def repair(self, differences: Differences) -> None:
        """Add what is missing, then delete what is too much."""
        surplus = set(differences.surplus)
        async with _netlink() as netlink:
            for (prefix, source), (via, interface) in differences.missing:
                try:
                    oif = socket.if_nametoindex(interface)
                except OSError:
                    continue  # gone meanwhile, and its routes with it
                route = KernelRoute(
                    prefix, source, DEFAULT_METRIC, via, oif, self._address, MAIN_TABLE, UNICAST
                )
                await self._try(netlink, "replace", route)
                # "replace" took the place of the wrong route of the same metric.
                surplus = {
                    s for s in surplus if (s.destination, s.metric) != (route.destination, route.metric)
                }
            for route in surplus:
                await self._try(netlink, "del", route)

    @staticmethod
    async def _try(netlink: Any, verb: str, route: KernelRoute) -> None:
        """Change one route; the kernel may have dropped it or its interface meanwhile, which is no error."""
        try:
            await netlink.route(verb, **_to_netlink(route))
        except NetlinkError as exc:
            if exc.code not in GONE:
                raise RouterError(f"kernel refuses to {verb} the route to {route.prefix}: {exc}") from exc


GONE: Final = frozenset({2, 3, 19, 22, 100, 101, 113})
"""ENOENT, ESRCH, ENODEV, EINVAL (its pref-src address is gone), ENETDOWN, ENETUNREACH, EHOSTUNREACH."""
