"""The kernel's own WireGuard, over generic netlink (``linux/wireguard.h``)."""

import base64
import errno
import secrets
from typing import Any, Final

from pyroute2 import AsyncIPRoute
from pyroute2.netlink import NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.generic.wireguard import AsyncWireGuard, wgmsg

from re6st_core.address import Endpoint
from re6st_core.errors import ConfigError, RouterError
from re6stnet.adapters.wireguard_uapi import DeviceConfig, DeviceState

_GET_DEVICE: Final = 0
_SET_DEVICE: Final = 1
_REPLACE_PEERS: Final = 1
_UPDATE_ONLY: Final = 4
_REPLACE_ALLOWED_IPS: Final = 2


async def kernel_has_wireguard() -> bool:
    """Whether a device of that kind can be made; found by making one.  Raises ConfigError if not root."""
    try:
        name = "re6stp" + secrets.token_hex(4)
        await add_device(name)
        async with AsyncIPRoute() as ipr:
            await ipr.link("del", ifname=name)
    except NetlinkError as exc:
        if exc.code == errno.EPERM:
            raise ConfigError("cannot make network devices: this needs root (CAP_NET_ADMIN)") from exc
        return False
    return True


async def add_device(name: str) -> None:
    """Make a device without configuration.  Raises NetlinkError."""
    async with AsyncIPRoute() as ipr:
        await ipr.link("add", ifname=name, kind="wireguard")


def config_message(device: str, config: DeviceConfig) -> Any:
    """The netlink message that configures ``device`` and its one peer."""
    allowed = [
        {
            "attrs": [
                ["WGALLOWEDIP_A_FAMILY", family],
                ["WGALLOWEDIP_A_IPADDR", zero],
                ["WGALLOWEDIP_A_CIDR_MASK", 0],
            ]
        }
        for family, zero in ((10, bytes(16)), (2, bytes(4)))
    ]
    peer = [
        ["WGPEER_A_PUBLIC_KEY", config.peer_key],
        ["WGPEER_A_FLAGS", _REPLACE_ALLOWED_IPS],
        ["WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL", config.keepalive_s],
        ["WGPEER_A_ALLOWEDIPS", allowed],
        *_endpoint(config.endpoint),
    ]
    return _message(
        _SET_DEVICE,
        ["WGDEVICE_A_IFNAME", device],
        ["WGDEVICE_A_PRIVATE_KEY", base64.b64encode(config.private_key.reveal()).decode()],
        ["WGDEVICE_A_LISTEN_PORT", config.listen_port],
        ["WGDEVICE_A_FWMARK", config.mark],
        ["WGDEVICE_A_FLAGS", _REPLACE_PEERS],
        ["WGDEVICE_A_PEERS", [{"attrs": peer}]],
    )


def endpoint_message(device: str, peer_key: str, endpoint: Endpoint) -> Any:
    """The netlink message that makes ``device`` send to ``endpoint``."""
    peer = [["WGPEER_A_PUBLIC_KEY", peer_key], ["WGPEER_A_FLAGS", _UPDATE_ONLY], *_endpoint(endpoint)]
    return _message(_SET_DEVICE, ["WGDEVICE_A_IFNAME", device], ["WGDEVICE_A_PEERS", [{"attrs": peer}]])


async def send(message: Any) -> None:
    """Have the kernel apply a message.  Raises RouterError."""
    await _request(message, NLM_F_REQUEST | NLM_F_ACK)


async def state(device: str) -> DeviceState:
    """What the kernel says of a device and its peer.  Raises RouterError."""
    answers = await _request(_message(_GET_DEVICE, ["WGDEVICE_A_IFNAME", device]), NLM_F_REQUEST | NLM_F_DUMP)
    if not answers:
        raise RouterError(f"the kernel says nothing about {device}")
    peers = answers[0].get_attr("WGDEVICE_A_PEERS") or []
    port = answers[0].get_attr("WGDEVICE_A_LISTEN_PORT") or 0
    if not peers:
        return DeviceState(port, 0, 0, 0)
    handshake = peers[0].get_attr("WGPEER_A_LAST_HANDSHAKE_TIME") or {"tv_sec": 0, "tv_nsec": 0}
    return DeviceState(
        port,
        handshake["tv_sec"] * 10**9 + handshake["tv_nsec"],
        peers[0].get_attr("WGPEER_A_RX_BYTES") or 0,
        peers[0].get_attr("WGPEER_A_TX_BYTES") or 0,
    )


async def _request(message: Any, flags: int) -> list[Any]:
    try:
        async with AsyncWireGuard() as netlink:
            await netlink.setup_endpoint()  # finds out the protocol's number, which entering does not
            answers = await netlink.nlm_request(message, msg_type=netlink.prid, msg_flags=flags)
            return [answer async for answer in answers]
    except (NetlinkError, OSError) as exc:
        raise RouterError(f"the kernel's WireGuard: {exc}") from exc


def _message(command: int, *attributes: list[Any]) -> Any:
    message = wgmsg()
    message["cmd"] = command
    message["version"] = 1
    message["attrs"] = list(attributes)
    return message


def _endpoint(endpoint: Endpoint | None) -> list[list[Any]]:
    if endpoint is None:
        return []
    return [["WGPEER_A_ENDPOINT", {"addr": str(endpoint.ip), "port": endpoint.port}]]
