"""What a node changes in the kernel's network settings: addresses, routes, rules, links.

Everything may be done twice and undone twice: after a kill -9 the next daemon finds its own work and goes on.
Foreign errors come out as RouterError, missing privileges as ConfigError.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Interface, IPv6Network, ip_address
from pathlib import Path
from typing import Any, Final

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import RTMGRP_LINK

from re6st_core.address import IPAddress
from re6st_core.errors import ConfigError, RouterError

PROTO_STATIC: Final = 4
RULE_PRIORITY: Final = 10
"""Before the main table (32766); the local table (0) stays first."""
_AF_INET6: Final = 10
_SCOPE_GLOBAL: Final = 0
_IFA_F_NODAD: Final = 0x02
# IPv6 addresses that are not for others to use: privacy addresses, and those whose check failed or is not
# over. The same bits mean nothing bad for IPv4.
_IFA_F_UNFIT: Final = 0x01 | 0x08 | 0x20 | 0x40
_IFF_UP: Final = 1

_ALREADY: Final = frozenset({errno.EEXIST})
_ABSENT: Final = frozenset({errno.ESRCH, errno.ENOENT, errno.ENODEV, errno.EADDRNOTAVAIL})


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface at the time of asking."""

    index: int
    name: str
    mtu: int
    up: bool
    """Administratively."""


class Kernel:
    """The network settings of one namespace, for a caller who stays in it."""

    def __init__(self, ipr: Any) -> None:  # Any: pyroute2 annotates a tenth of its functions
        self._ipr = ipr
        self._dump = asyncio.Lock()  # the kernel refuses a second dump on a socket meanwhile (EBUSY)

    @classmethod
    async def open(cls) -> Kernel:
        """Open a netlink socket; closed by :meth:`close`.  Raises RouterError."""
        ipr = AsyncIPRoute()
        try:
            await ipr.setup_endpoint()
        except OSError as exc:
            raise RouterError(f"netlink: {exc}") from exc
        return cls(ipr)

    async def close(self) -> None:
        """Close the socket; what was changed stays."""
        self._ipr.close()

    # --- addresses, routes, rules -----------------------------------------------------------------------

    async def add_address(self, device: str, address: IPv6Interface) -> None:
        """Give ``device`` an address, usable at once."""
        index = await self._index(device)
        await self._do(f"add {address} to {device}", _ALREADY, self._address("add", index, address))

    async def remove_address(self, device: str, address: IPv6Interface) -> None:
        """Take the address back."""
        index = await self._find(device)
        if index is not None:
            await self._do(f"remove {address} from {device}", _ABSENT, self._address("del", index, address))

    def _address(self, verb: str, index: int, address: IPv6Interface) -> Callable[[], Awaitable[Any]]:
        flags = {"flags": _IFA_F_NODAD} if verb == "add" else {}
        length = address.network.prefixlen
        return lambda: self._ipr.addr(verb, index=index, address=str(address.ip), prefixlen=length, **flags)

    async def add_unreachable(self, network: IPv6Network) -> None:
        """Packets to unknown parts of ``network`` are answered, not sent to the Internet."""
        await self._do(f"add the route for {network}", _ALREADY, self._unreachable("add", network))

    async def remove_unreachable(self, network: IPv6Network) -> None:
        """Undo :meth:`add_unreachable`."""
        await self._do(f"remove the route for {network}", _ABSENT, self._unreachable("del", network))

    def _unreachable(self, verb: str, network: IPv6Network) -> Callable[[], Awaitable[Any]]:
        return lambda: self._ipr.route(
            verb, family=_AF_INET6, dst=str(network), type="unreachable", proto=PROTO_STATIC
        )

    async def protect_underlay(self, network: IPv6Network, mark: int) -> None:
        """Packets marked ``mark`` may not go into ``network``: no tunnel inside the overlay."""
        await self._do(f"add the rule for mark {mark:#x}", _ALREADY, self._rule("add", network, mark))

    async def unprotect_underlay(self, network: IPv6Network, mark: int) -> None:
        """Undo :meth:`protect_underlay`."""
        await self._do(f"remove the rule for mark {mark:#x}", _ABSENT, self._rule("del", network, mark))

    def _rule(self, verb: str, network: IPv6Network, mark: int) -> Callable[[], Awaitable[Any]]:
        return lambda: self._ipr.rule(
            verb,
            family=_AF_INET6,
            priority=RULE_PRIORITY,
            fwmark=mark,
            dst=str(network.network_address),
            dst_len=network.prefixlen,
            action="unreachable",
        )

    # --- links ------------------------------------------------------------------------------------------

    async def bring_up(self, device: str, *, mtu: int, link_local: IPv6Address | None = None) -> None:
        """Set the MTU and the link up.

        ``link_local``: the only link-local address of a tunnel, where router advertisements are ignored; None
        leaves all that to the kernel.
        """
        index = await self._index(device)
        _set_ipv6(device, "disable_ipv6", "0")  # hosts whose default is no IPv6 still need it on tunnels
        if link_local is not None:
            # The far end is a peer, not a router that may give us addresses and a default route.
            for name in ("accept_ra", "autoconf"):
                _set_ipv6(device, name, "0")
        await self._do(f"set up {device}", frozenset(), lambda: self._ipr.link("set", index=index, mtu=mtu))
        if link_local is not None:
            # Before the link goes up: otherwise the kernel adds a random one of its own.
            mode = {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", 1)]}
            spec = {"attrs": [("AF_INET6", mode)]}
            await self._do(
                f"set up {device}",
                frozenset(),
                lambda: self._ipr.link("set", index=index, IFLA_AF_SPEC=spec),
            )
        await self._do(
            f"set up {device}", frozenset(), lambda: self._ipr.link("set", index=index, state="up")
        )
        if link_local is not None:
            await self.add_address(device, IPv6Interface((link_local, 64)))

    async def delete_link(self, device: str) -> None:
        """Delete a virtual device."""
        index = await self._find(device)
        if index is not None:
            await self._do(f"delete {device}", _ABSENT, lambda: self._ipr.link("del", index=index))

    async def links(self, name_prefix: str = "") -> list[Link]:
        """The devices whose name begins so."""
        found = [_link(message) for message in await self._ask(self._ipr.get_links)]
        return [link for link in found if link.name.startswith(name_prefix)]

    async def underlay_addresses(self, network: IPv6Network, *, tunnel_prefix: str) -> list[IPAddress]:
        """Global addresses of this host that others may use to reach it on the underlay.

        Without those inside ``network``, and those of devices whose name begins with ``tunnel_prefix``.
        """
        tunnels = {link.index for link in await self.links(tunnel_prefix)}
        found: list[IPAddress] = []
        for message in await self._ask(self._ipr.get_addr):
            text = message.get("IFA_LOCAL") or message.get("IFA_ADDRESS")
            if message["scope"] != _SCOPE_GLOBAL or message["index"] in tunnels or not text:
                continue
            address = ip_address(text)
            flags = message.get("IFA_FLAGS") or 0
            if isinstance(address, IPv4Address) or (address not in network and not flags & _IFA_F_UNFIT):
                found.append(address)
        return found

    async def wait_for_link(self, device: str) -> Link:
        """Return once the device exists; the caller bounds the time."""
        async with _link_events() as changed:
            while True:
                for link in await self.links(device):
                    if link.name == device:
                        return link
                await changed()

    # --- errors -----------------------------------------------------------------------------------------

    async def _find(self, device: str) -> int | None:
        return next((link.index for link in await self.links(device) if link.name == device), None)

    async def _index(self, device: str) -> int:
        index = await self._find(device)
        if index is None:
            raise RouterError(f"there is no network device {device}")
        return index

    async def _do(self, what: str, tolerated: frozenset[int], call: Callable[[], Awaitable[Any]]) -> None:
        try:
            await call()
        except NetlinkError as exc:
            if exc.code in tolerated:
                return
            if exc.code == errno.EPERM:
                raise ConfigError(f"cannot {what}: this needs root (CAP_NET_ADMIN)") from exc
            raise RouterError(f"the kernel refuses to {what}: {exc}") from exc
        except OSError as exc:
            raise RouterError(f"netlink: cannot {what}: {exc}") from exc

    async def _ask(self, dump: Callable[[], Awaitable[Any]]) -> list[Any]:
        try:
            async with self._dump:
                return [message async for message in await dump()]
        except (NetlinkError, OSError) as exc:
            raise RouterError(f"netlink: {exc}") from exc


@asynccontextmanager
async def _link_events() -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Subscribe to changes of links: call and await the value to sleep until the next one."""
    async with AsyncIPRoute() as events:
        await events.bind(groups=RTMGRP_LINK)
        # One reader keeps at most "something changed" in mind, however long the caller is away.
        changed = asyncio.Event()

        async def read() -> None:
            while True:
                async for _message in events.get():
                    changed.set()

        async def wait() -> None:
            await changed.wait()
            changed.clear()

        reader = asyncio.create_task(read())
        try:
            yield wait
        finally:
            reader.cancel()


def _set_ipv6(device: str, name: str, value: str) -> None:
    setting = Path("/proc/sys/net/ipv6/conf") / device / name
    try:
        if setting.read_text().strip() != value:
            setting.write_text(value)
    except OSError as exc:
        raise RouterError(f"cannot set {name} of {device}: {exc.strerror}") from exc


def _link(message: Any) -> Link:
    return Link(
        message["index"],
        message.get("IFLA_IFNAME"),
        message.get("IFLA_MTU"),
        bool(message["flags"] & _IFF_UP),
    )
