"""What a node changes in the kernel's network settings: addresses, routes, rules, links.

Everything may be done twice and undone twice: after a kill -9 the next daemon finds its own work and goes on.
Foreign errors come out as RouterError, missing privileges as ConfigError.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Interface, IPv6Network, ip_address
from pathlib import Path
from typing import Final

from babel_ctl.netlink import CREATE, EXCL, Netlink
from re6st_core.address import IPAddress
from re6st_core.errors import ConfigError, RouterError, WireError
from re6st_core.netlink_wire import (
    attribute,
    decode_attributes_untrusted,
    decode_u32_untrusted,
    nested,
    text,
    u32,
)

PROTO_STATIC: Final = 4
RULE_PRIORITY: Final = 10
"""Before the main table (32766); the local table (0) stays first."""
_SCOPE_GLOBAL: Final = 0
_IFA_F_NODAD: Final = 0x02
# IPv6 addresses that are not for others to use: privacy addresses, and those whose check failed or is not
# over. The same bits mean nothing bad for IPv4.
_IFA_F_UNFIT: Final = 0x01 | 0x08 | 0x20 | 0x40
_IFF_UP: Final = 1

_ALREADY: Final = frozenset({errno.EEXIST})
_ABSENT: Final = frozenset({errno.ESRCH, errno.ENOENT, errno.ENODEV, errno.EADDRNOTAVAIL})

# rtnetlink(7)
_NEW_LINK: Final = 16
_DELETE_LINK: Final = 17
_GET_LINK: Final = 18
_NEW_ADDRESS: Final = 20
_DELETE_ADDRESS: Final = 21
_GET_ADDRESS: Final = 22
_NEW_ROUTE: Final = 24
_DELETE_ROUTE: Final = 25
_NEW_RULE: Final = 32
_DELETE_RULE: Final = 33
_LINK_GROUP: Final = 1
_ADDRESS_GROUPS: Final = 0x10 | 0x100  # IPv4, IPv6
_IFINFO: Final = struct.Struct("=BxHiII")  # family, type, index, flags, mask of flags to change
_IFADDR: Final = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ROUTE: Final = struct.Struct(
    "=8BI"
)  # family, lengths of both prefixes, tos, table, protocol, scope, type, flags
_RULE: Final = struct.Struct("=5BxxBI")  # family, lengths of both prefixes, tos, table, action, flags
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_LINKINFO: Final = 18
_IFLA_INFO_KIND: Final = 1
_IFLA_AF_SPEC: Final = 26
_IFLA_INET6_ADDR_GEN_MODE: Final = 8
_NO_ADDRESS_OF_ITS_OWN: Final = b"\1"
_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_FLAGS: Final = 8
_RTA_DST: Final = 1
_FRA_DST: Final = 1
_FRA_PRIORITY: Final = 6
_FRA_FWMARK: Final = 10
_MAIN_TABLE: Final = 254
_TYPE_UNREACHABLE: Final = 7
_ACTION_UNREACHABLE: Final = 7


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

    def __init__(self, netlink: Netlink) -> None:
        self._netlink = netlink

    @classmethod
    async def open(cls) -> Kernel:
        """Open a netlink socket; closed by :meth:`close`.  Raises RouterError."""
        try:
            return cls(Netlink())
        except OSError as exc:
            raise RouterError(f"netlink: {exc}") from exc

    async def close(self) -> None:
        """Close the socket; what was changed stays."""
        self._netlink.close()

    # --- addresses, routes, rules -----------------------------------------------------------------------

    async def add_address(self, device: str, address: IPv6Interface) -> None:
        """Give ``device`` an address, usable at once."""
        payload = _address(_index(device), address)
        flags = u32(_IFA_FLAGS, _IFA_F_NODAD)
        with _explained(f"add {address} to {device}", _ALREADY):
            self._netlink.do(_NEW_ADDRESS, payload + flags, flags=CREATE | EXCL)

    async def remove_address(self, device: str, address: IPv6Interface) -> None:
        """Take the address back."""
        index = _find(device)
        if index is not None:
            with _explained(f"remove {address} from {device}", _ABSENT):
                self._netlink.do(_DELETE_ADDRESS, _address(index, address))

    async def add_unreachable(self, network: IPv6Network) -> None:
        """Packets to unknown parts of ``network`` are answered, not sent to the Internet."""
        with _explained(f"add the route for {network}", _ALREADY):
            self._netlink.do(_NEW_ROUTE, _unreachable(network), flags=CREATE | EXCL)

    async def remove_unreachable(self, network: IPv6Network) -> None:
        """Undo :meth:`add_unreachable`."""
        with _explained(f"remove the route for {network}", _ABSENT):
            self._netlink.do(_DELETE_ROUTE, _unreachable(network))

    async def protect_underlay(self, network: IPv6Network, mark: int) -> None:
        """Packets marked ``mark`` may not go into ``network``: no tunnel inside the overlay."""
        with _explained(f"add the rule for mark {mark:#x}", _ALREADY):
            self._netlink.do(_NEW_RULE, _rule(network, mark), flags=CREATE | EXCL)

    async def unprotect_underlay(self, network: IPv6Network, mark: int) -> None:
        """Undo :meth:`protect_underlay`."""
        with _explained(f"remove the rule for mark {mark:#x}", _ABSENT):
            self._netlink.do(_DELETE_RULE, _rule(network, mark))

    # --- links ------------------------------------------------------------------------------------------

    async def bring_up(self, device: str, *, mtu: int, link_local: IPv6Address | None = None) -> None:
        """Set the MTU and the link up.

        ``link_local``: the only link-local address of a tunnel, where router advertisements are ignored; None
        leaves all that to the kernel.
        """
        index = _index(device)
        _set_ipv6(device, "disable_ipv6", "0")  # hosts whose default is no IPv6 still need it on tunnels
        settings = u32(_IFLA_MTU, mtu)
        if link_local is not None:
            # The far end is a peer, not a router that may give us addresses and a default route.
            for name in ("accept_ra", "autoconf"):
                _set_ipv6(device, name, "0")
            # Before the link goes up: otherwise the kernel adds a random one of its own.
            mode = attribute(_IFLA_INET6_ADDR_GEN_MODE, _NO_ADDRESS_OF_ITS_OWN)
            settings += nested(_IFLA_AF_SPEC, nested(socket.AF_INET6, mode))
        with _explained(f"set up {device}"):
            self._netlink.do(_NEW_LINK, _link_header(index) + settings)
            self._netlink.do(_NEW_LINK, _link_header(index, flags=_IFF_UP, mask=_IFF_UP))
        if link_local is not None:
            await self.add_address(device, IPv6Interface((link_local, 64)))

    async def set_mtu(self, device: str, mtu: int) -> None:
        """Change the MTU of a device in use."""
        with _explained(f"set the MTU of {device}"):
            self._netlink.do(_NEW_LINK, _link_header(_index(device)) + u32(_IFLA_MTU, mtu))

    async def add_link(self, device: str, kind: str) -> None:
        """Make a virtual device.  Raises RouterError also if this kernel does not know the kind."""
        what = nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, kind))
        with _explained(f"make {device}"):
            self._netlink.do(
                _NEW_LINK, _link_header() + text(_IFLA_IFNAME, device) + what, flags=CREATE | EXCL
            )

    async def delete_link(self, device: str) -> None:
        """Delete a virtual device."""
        index = _find(device)
        if index is not None:
            with _explained(f"delete {device}", _ABSENT):
                self._netlink.do(_DELETE_LINK, _link_header(index))

    async def links(self, name_prefix: str = "") -> list[Link]:
        """The devices whose name begins so."""
        with _explained("list devices"):
            found = [_link(payload) for payload in self._netlink.dump(_GET_LINK, _link_header())]
        return [link for link in found if link.name.startswith(name_prefix)]

    async def underlay_addresses(self, network: IPv6Network, *, tunnel_prefix: str) -> list[IPAddress]:
        """Global addresses of this host that others may use to reach it on the underlay.

        Without those inside ``network``, and those of devices whose name begins with ``tunnel_prefix``.
        """
        found: list[IPAddress] = []
        with _explained("list addresses"):
            tunnels = {index for index, name in socket.if_nameindex() if name.startswith(tunnel_prefix)}
            for payload in self._netlink.dump(_GET_ADDRESS, _IFADDR.pack(0, 0, 0, 0, 0)):
                _, _, _, scope, index = _IFADDR.unpack_from(payload)
                attributes = dict(decode_attributes_untrusted(payload[_IFADDR.size :]))
                packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)
                if scope != _SCOPE_GLOBAL or index in tunnels or not packed:
                    continue
                address = ip_address(packed)
                flags = decode_u32_untrusted(attributes.get(_IFA_FLAGS, bytes(4)))
                if isinstance(address, IPv4Address) or (address not in network and not flags & _IFA_F_UNFIT):
                    found.append(address)
        return found

    async def wait_for_link(self, device: str) -> Link:
        """Return once the device exists; the caller bounds the time."""
        with _events(_LINK_GROUP, "devices") as changed:
            while True:
                if _find(device) is not None:
                    for link in await self.links(device):
                        if link.name == device:
                            return link
                await changed()

    @staticmethod
    def address_events() -> AbstractContextManager[Callable[[], Awaitable[None]]]:
        """Subscribe to changes of addresses: call and await the value to sleep until the next one."""
        return _events(_ADDRESS_GROUPS, "addresses")


# --- messages -------------------------------------------------------------------------------------------


def _link_header(index: int = 0, *, flags: int = 0, mask: int = 0) -> bytes:
    return _IFINFO.pack(socket.AF_UNSPEC, 0, index, flags, mask)


def _address(index: int, address: IPv6Interface) -> bytes:
    header = _IFADDR.pack(socket.AF_INET6, address.network.prefixlen, 0, _SCOPE_GLOBAL, index)
    packed = address.ip.packed
    return header + attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed)


def _unreachable(network: IPv6Network) -> bytes:
    family, length = socket.AF_INET6, network.prefixlen
    header = _ROUTE.pack(family, length, 0, 0, _MAIN_TABLE, PROTO_STATIC, 0, _TYPE_UNREACHABLE, 0)
    return header + attribute(_RTA_DST, network.network_address.packed)


def _rule(network: IPv6Network, mark: int) -> bytes:
    header = _RULE.pack(socket.AF_INET6, network.prefixlen, 0, 0, 0, _ACTION_UNREACHABLE, 0)
    selector = attribute(_FRA_DST, network.network_address.packed) + u32(_FRA_FWMARK, mark)
    return header + selector + u32(_FRA_PRIORITY, RULE_PRIORITY)


def _link(payload: bytes) -> Link:
    _, _, index, flags, _ = _IFINFO.unpack_from(payload)
    attributes = dict(decode_attributes_untrusted(payload[_IFINFO.size :]))
    name = attributes.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
    mtu = decode_u32_untrusted(attributes.get(_IFLA_MTU, bytes(4)))
    return Link(index, name, mtu, bool(flags & _IFF_UP))


# --- errors and other helpers ---------------------------------------------------------------------------


@contextmanager
def _explained(what: str, tolerated: frozenset[int] = frozenset()) -> Iterator[None]:
    """Turn errors of netlink into ours, but for the ``tolerated`` ones."""
    try:
        yield
    except OSError as exc:
        if exc.errno in tolerated:
            return
        if exc.errno == errno.EPERM:
            raise ConfigError(f"cannot {what}: this needs root (CAP_NET_ADMIN)") from exc
        raise RouterError(f"the kernel refuses to {what}: {exc}") from exc
    except (WireError, ValueError, struct.error) as exc:  # ValueError: what should be an address is none
        raise RouterError(f"netlink: cannot {what}: {exc}") from exc


def _find(device: str) -> int | None:
    try:
        return socket.if_nametoindex(device)
    except OSError:
        return None


def _index(device: str) -> int:
    index = _find(device)
    if index is None:
        raise RouterError(f"there is no network device {device}")
    return index


@contextmanager
def _events(groups: int, what: str) -> Iterator[Callable[[], Awaitable[None]]]:
    """Subscribe to groups of netlink: call and await the value to sleep until the next event."""
    loop = asyncio.get_running_loop()
    # One reader keeps at most "something changed" in mind, however long the caller is away.
    changed = asyncio.Event()

    async def wait() -> None:
        await changed.wait()
        changed.clear()

    with _explained(f"hear of {what}"), Netlink(groups=groups) as events:

        def read() -> None:
            events.drop_news()
            changed.set()

        loop.add_reader(events, read)
        try:
            yield wait
        finally:
            loop.remove_reader(events)


def _set_ipv6(device: str, name: str, value: str) -> None:
    setting = Path("/proc/sys/net/ipv6/conf") / device / name
    try:
        if setting.read_text().strip() != value:
            setting.write_text(value)
    except OSError as exc:
        raise RouterError(f"cannot set {name} of {device}: {exc.strerror}") from exc
