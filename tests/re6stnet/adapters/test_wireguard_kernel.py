"""What the kernel's WireGuard is told: the message is read back as pyroute2 reads the kernel's own."""

from ipaddress import ip_address

import pytest
from pyroute2.netlink.generic.wireguard import wgmsg

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import RouterError
from re6st_core.netlink_wire import NetlinkMessage, decode_messages_untrusted, encode_message
from re6stnet.adapters.netlink import Kernel
from re6stnet.adapters.wireguard_kernel import (
    config_message,
    decode_device_untrusted,
    endpoint_message,
    kernel_has_wireguard,
    state,
)
from re6stnet.adapters.wireguard_key import PrivateKey
from re6stnet.adapters.wireguard_uapi import DeviceConfig, DeviceState
from tests.helpers.namespace_tests import namespaces

KEY, PEER = PrivateKey(bytes([1] * 32)), PrivateKey(bytes([2] * 32))


def read_back(payload: bytes) -> wgmsg:
    result = wgmsg(encode_message(NetlinkMessage(28, 5, 1, payload)))
    result.decode()
    return result


def test_what_the_kernel_says_of_a_device_is_understood() -> None:
    """The numbers are in places where pyroute2 puts them, whose reader knows a real kernel."""
    peer = [
        ["WGPEER_A_PUBLIC_KEY", PEER.public],
        ["WGPEER_A_LAST_HANDSHAKE_TIME", {"tv_sec": 1000, "tv_nsec": 7}],
        ["WGPEER_A_RX_BYTES", 5],
        ["WGPEER_A_TX_BYTES", 6],
    ]
    message = wgmsg()
    message["cmd"], message["version"] = 0, 1
    message["attrs"] = [
        ["WGDEVICE_A_IFNAME", "re6st0"],
        ["WGDEVICE_A_LISTEN_PORT", 51000],
        ["WGDEVICE_A_PEERS", [{"attrs": peer}]],
    ]
    message.encode()
    (decoded,) = decode_messages_untrusted(bytes(message.data))
    assert decode_device_untrusted(decoded.payload) == DeviceState(51000, 1000 * 10**9 + 7, 5, 6)


def test_a_device_without_peer_has_never_heard_anything() -> None:
    assert decode_device_untrusted(bytes(4)) == DeviceState(0, 0, 0, 0)


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_where_a_device_sends_to_is_read_as_it_is_written(host: str) -> None:
    endpoint = Endpoint(ip_address(host), 1194, Protocol.UDP)
    message = endpoint_message("re6st0", PEER.public, endpoint)
    assert decode_device_untrusted(message).endpoint == endpoint


def test_a_place_that_no_peer_announces_is_none() -> None:
    message = endpoint_message("re6st0", PEER.public, Endpoint(ip_address("2001:db8::1"), 1194, Protocol.UDP))
    nowhere = message.replace(ip_address("2001:db8::1").packed, ip_address("fe80::1").packed)
    assert decode_device_untrusted(nowhere).endpoint is None


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_configuration_has_one_peer_that_may_route_anything(host: str) -> None:
    config = DeviceConfig(
        private_key=KEY,
        listen_port=51000,
        mark=7,
        peer_key=PEER.public,
        endpoint=Endpoint(ip_address(host), 1194, Protocol.UDP),
        keepalive_s=25,
    )
    message = read_back(config_message("re6st0", config))
    assert message.get_attr("WGDEVICE_A_IFNAME") == "re6st0"
    assert message.get_attr("WGDEVICE_A_LISTEN_PORT") == 51000
    assert message.get_attr("WGDEVICE_A_FWMARK") == 7
    (peer,) = message.get_attr("WGDEVICE_A_PEERS")
    assert peer.get_attr("WGPEER_A_PUBLIC_KEY").decode() == PEER.public
    assert peer.get_attr("WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL") == 25
    assert [allowed["addr"] for allowed in peer.get_attr("WGPEER_A_ALLOWEDIPS")] == ["::/0", "0.0.0.0/0"]
    endpoint = peer.get_attr("WGPEER_A_ENDPOINT")
    assert (endpoint["addr"], endpoint["port"]) == (host, 1194)


def test_new_endpoint_changes_nothing_else() -> None:
    endpoint = Endpoint(ip_address("192.0.2.9"), 9, Protocol.UDP)
    message = read_back(endpoint_message("re6st0", PEER.public, endpoint))
    (peer,) = message.get_attr("WGDEVICE_A_PEERS")
    assert peer.get_attr("WGPEER_A_FLAGS") == 4  # WGPEER_F_UPDATE_ONLY
    assert message.get_attr("WGDEVICE_A_PRIVATE_KEY") is None
    assert peer.get_attr("WGPEER_A_ALLOWEDIPS") is None


@pytest.mark.root
async def test_asking_whether_the_kernel_has_it_leaves_no_device() -> None:
    with namespaces(1) as (namespace,), namespace.entered():
        kernel = await Kernel.open()
        await kernel_has_wireguard(kernel)
        await kernel.close()
        assert "re6st" not in namespace.run("ip link")


@pytest.mark.root
async def test_device_that_is_not_there_is_an_error_of_the_router() -> None:
    with namespaces(1) as (namespace,), namespace.entered(), pytest.raises(RouterError):
        await state("re6stnowhere")
