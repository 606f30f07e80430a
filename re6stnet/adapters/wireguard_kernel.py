"""The kernel's own WireGuard, over generic netlink (``linux/wireguard.h``, ``linux/genetlink.h``).

generic netlink header | device: name, key, port, mark ... | peers: [peer: key, endpoint, allowed: [...]]
"""

import base64
import secrets
import socket
import struct
from ipaddress import IPv4Address, ip_address
from typing import Final

from babel_ctl.netlink import Netlink
from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import RouterError, WireError
from re6st_core.netlink_wire import (
    attribute,
    decode_attributes_untrusted,
    nested,
    text,
    u32,
)
from re6stnet.adapters.netlink import Kernel
from re6stnet.adapters.wireguard_uapi import DeviceConfig, DeviceState

_GENERIC: Final = 16
"""Netlink's generic family; also the type of the messages that ask about its members."""
_HEADER: Final = struct.Struct("=BBxx")  # command, version
_GET_FAMILY: Final = 3
_FAMILY_ID: Final = 1
_FAMILY_NAME: Final = 2

_GET_DEVICE: Final = 0
_SET_DEVICE: Final = 1
_REPLACE_PEERS: Final = 1
_UPDATE_ONLY: Final = 4
_REPLACE_ALLOWED_IPS: Final = 2
_IFNAME: Final = 2
_PRIVATE_KEY: Final = 3
_FLAGS: Final = 5
_LISTEN_PORT: Final = 6
_FWMARK: Final = 7
_PEERS: Final = 8
_PEER_PUBLIC_KEY: Final = 1
_PEER_FLAGS: Final = 3
_PEER_ENDPOINT: Final = 4
_PEER_KEEPALIVE: Final = 5
_PEER_LAST_HANDSHAKE: Final = 6
_PEER_RX_BYTES: Final = 7
_PEER_TX_BYTES: Final = 8
_PEER_ALLOWED: Final = 9
_ALLOWED_FAMILY: Final = 1
_ALLOWED_ADDRESS: Final = 2
_ALLOWED_LENGTH: Final = 3


async def kernel_has_wireguard(kernel: Kernel) -> bool:
    """Whether a device of that kind can be made; found by making one.  Raises ConfigError if not root."""
    name = "re6stp" + secrets.token_hex(4)
    try:
        await kernel.add_link(name, "wireguard")
    except RouterError:
        return False
    await kernel.delete_link(name)
    return True


def config_message(device: str, config: DeviceConfig) -> bytes:
    """The message that configures ``device`` and its one peer."""
    allowed = (
        nested(
            place,
            attribute(_ALLOWED_FAMILY, struct.pack("=H", family)),
            attribute(_ALLOWED_ADDRESS, bytes(size)),
            attribute(_ALLOWED_LENGTH, b"\0"),
        )
        for place, (family, size) in enumerate(((socket.AF_INET6, 16), (socket.AF_INET, 4)))
    )
    peer = nested(
        0,
        attribute(_PEER_PUBLIC_KEY, base64.b64decode(config.peer_key)),
        u32(_PEER_FLAGS, _REPLACE_ALLOWED_IPS),
        attribute(_PEER_KEEPALIVE, struct.pack("=H", config.keepalive_s)),
        nested(_PEER_ALLOWED, *allowed),
        _endpoint(config.endpoint),
    )
    return _message(
        _SET_DEVICE,
        device,
        attribute(_PRIVATE_KEY, config.private_key.reveal()),
        attribute(_LISTEN_PORT, struct.pack("=H", config.listen_port)),
        u32(_FWMARK, config.mark),
        u32(_FLAGS, _REPLACE_PEERS),
        nested(_PEERS, peer),
    )


def endpoint_message(device: str, peer_key: str, endpoint: Endpoint) -> bytes:
    """The message that makes ``device`` send to ``endpoint``."""
    key = attribute(_PEER_PUBLIC_KEY, base64.b64decode(peer_key))
    peer = nested(0, key, u32(_PEER_FLAGS, _UPDATE_ONLY), _endpoint(endpoint))
    return _message(_SET_DEVICE, device, nested(_PEERS, peer))


def decode_device_untrusted(payload: bytes) -> DeviceState:
    """What the kernel says of a device; what it leaves out is 0.  Raises WireError."""
    device = dict(decode_attributes_untrusted(payload[_HEADER.size :]))
    peers = decode_attributes_untrusted(device.get(_PEERS, b""))
    peer = dict(decode_attributes_untrusted(peers[0][1])) if peers else {}
    seconds, nanoseconds = _numbers("=qq", peer.get(_PEER_LAST_HANDSHAKE, bytes(16)))
    (port,) = _numbers("=H", device.get(_LISTEN_PORT, bytes(2)))
    (received,) = _numbers("=Q", peer.get(_PEER_RX_BYTES, bytes(8)))
    (sent,) = _numbers("=Q", peer.get(_PEER_TX_BYTES, bytes(8)))
    endpoint = _endpoint_in(peer[_PEER_ENDPOINT]) if _PEER_ENDPOINT in peer else None
    return DeviceState(port, seconds * 10**9 + nanoseconds, received, sent, endpoint)


def _endpoint_in(value: bytes) -> Endpoint | None:
    """A ``struct sockaddr_in`` or ``sockaddr_in6``; None for an address that no peer announces.

    Raises WireError.
    """
    family, port = _numbers("=H", value[:2])[0], _numbers("!H", value[2:4])[0]
    packed = value[4:8] if family == socket.AF_INET else value[8:24]
    try:
        return Endpoint(ip_address(packed), port, Protocol.UDP)
    except ValueError:
        return None


async def send(message: bytes) -> None:
    """Have the kernel apply a message.  Raises RouterError."""
    try:
        with Netlink(_GENERIC) as netlink:
            netlink.do(_wireguard(netlink), message)
    except (OSError, WireError) as exc:
        raise RouterError(f"the kernel's WireGuard: {exc}") from exc


async def state(device: str) -> DeviceState:
    """What the kernel says of a device and its peer.  Raises RouterError."""
    try:
        with Netlink(_GENERIC) as netlink:
            answers = netlink.dump(_wireguard(netlink), _message(_GET_DEVICE, device))
        if not answers:
            raise RouterError(f"the kernel says nothing about {device}")
        return decode_device_untrusted(answers[0])
    except (OSError, WireError) as exc:
        raise RouterError(f"the kernel's WireGuard: {exc}") from exc


def _wireguard(netlink: Netlink) -> int:
    """The number that WireGuard has in this kernel.  Raises OSError, WireError."""
    question = _HEADER.pack(_GET_FAMILY, 1) + text(_FAMILY_NAME, "wireguard")
    for answer in netlink.get(_GENERIC, question):
        for kind, value in decode_attributes_untrusted(answer[_HEADER.size :]):
            if kind == _FAMILY_ID:
                return _numbers("=H", value)[0]
    raise WireError("the kernel does not tell WireGuard's number")


def _message(command: int, device: str, *attributes: bytes) -> bytes:
    return _HEADER.pack(command, 1) + text(_IFNAME, device) + b"".join(attributes)


def _endpoint(endpoint: Endpoint | None) -> bytes:
    """A ``struct sockaddr_in`` or ``sockaddr_in6``: of these, port and address are in network order."""
    if endpoint is None:
        return b""
    port = struct.pack("!H", endpoint.port)
    if isinstance(endpoint.ip, IPv4Address):
        value = struct.pack("=H", socket.AF_INET) + port + endpoint.ip.packed + bytes(8)
    else:
        value = struct.pack("=H", socket.AF_INET6) + port + bytes(4) + endpoint.ip.packed + bytes(4)
    return attribute(_PEER_ENDPOINT, value)


def _numbers(form: str, value: bytes) -> tuple[int, ...]:
    if len(value) != struct.calcsize(form):
        raise WireError(f"a number of WireGuard's has {len(value)} bytes")
    return struct.unpack(form, value)
