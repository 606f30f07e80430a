"""What the kernel's WireGuard is told: the message is read back as pyroute2 reads the kernel's own."""

from ipaddress import ip_address

import pytest
from pyroute2.netlink.generic.wireguard import wgmsg

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import RouterError
from re6stnet.adapters.wireguard_kernel import config_message, endpoint_message, kernel_has_wireguard, state
from re6stnet.adapters.wireguard_key import PrivateKey
from re6stnet.adapters.wireguard_uapi import DeviceConfig
from tests.helpers.namespace_tests import namespaces

KEY, PEER = PrivateKey(bytes([1] * 32)), PrivateKey(bytes([2] * 32))


def read_back(message: wgmsg) -> wgmsg:
    message.encode()
    result = wgmsg(message.data)
    result.decode()
    return result


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
        await kernel_has_wireguard()
        assert "re6st" not in namespace.run("ip link")


@pytest.mark.root
async def test_device_that_is_not_there_is_an_error_of_the_router() -> None:
    with namespaces(1) as (namespace,), namespace.entered(), pytest.raises(RouterError):
        await state("re6stnowhere")
