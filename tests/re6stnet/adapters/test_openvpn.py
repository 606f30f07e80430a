"""Nodes that UDP does not reach: real certificates, real handshakes, one shared TCP port."""

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import ConfigError, PeerError, RouterError
from re6stnet.adapters.netlink import Kernel
from re6stnet.adapters.openvpn import Credentials, OpenvpnClients, OpenvpnHandle, OpenvpnServer
from re6stnet.adapters.orphan import end_orphans
from tests.helpers.certs import NodeFiles, TestCA
from tests.helpers.namespace_tests import TestNamespace, connect, device_name, namespaces

pytestmark = pytest.mark.root
MARK = 0x6E6
PORT, CONTROL_PORT = 1194, 8443
SERVER_CN, CLIENT_CN = "1/16", "7/16"


def credentials(files: NodeFiles) -> Credentials:
    return Credentials(files.ca, files.certificate, files.key)


@dataclass
class Nodes:
    """A server and a client node on one cable."""

    server_side: TestNamespace
    client_side: TestNamespace
    server: OpenvpnServer
    clients: OpenvpnClients
    client_files: NodeFiles
    server_files: NodeFiles
    server_device: str
    kernels: list[Kernel]
    directory: Path

    async def start_server(self) -> OpenvpnHandle:
        with self.server_side.entered():
            return await self.server.start(
                self.server_device, port=PORT, control_port=CONTROL_PORT, max_clients=4
            )

    async def open(self, device: str, *, cn: str = SERVER_CN, host: str = "192.0.2.1") -> OpenvpnHandle:
        with self.client_side.entered():
            endpoint = Endpoint(ip_address(host), PORT, Protocol.TCP)
            handle = await self.clients.create(device, cn, endpoint)
            await self.clients.connected(device)
            return handle


@pytest.fixture
def pair() -> Iterator[list[TestNamespace]]:
    with namespaces(2) as made:
        connect(*made)
        yield made


@pytest.fixture(params=["ec"])
async def nodes(
    pair: list[TestNamespace], tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Nodes]:
    ca = TestCA(tmp_path / "ca", request.param)
    files = ca.node(SERVER_CN), ca.node(CLIENT_CN)
    kernels = []
    for namespace in pair:
        with namespace.entered():
            kernels.append(await Kernel.open())
    run = tmp_path / "run"
    run.mkdir(mode=0o700)
    server = OpenvpnServer(kernels[0], run, credentials(files[0]), MARK)
    clients = OpenvpnClients(kernels[1], run, credentials(files[1]), MARK)
    made = Nodes(pair[0], pair[1], server, clients, files[1], files[0], device_name(), kernels, run)
    yield made
    await server.stop()
    for device in list(clients._processes):
        await clients.remove(device)
    for kernel in kernels:
        await kernel.close()


@pytest.mark.parametrize("nodes", ["ec", "rsa"], indirect=True)
@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8:1::1"])
async def test_tunnel_carries_packets_and_the_server_knows_the_client(nodes: Nodes, host: str) -> None:
    await nodes.start_server()
    assert await nodes.server.clients() == ()
    device = device_name()
    await nodes.open(device, host=host)
    assert [client.cn for client in await nodes.server.clients()] == [CLIENT_CN]
    shown = nodes.server_side.run(f"ip -6 -brief address show dev {nodes.server_device}").split()
    nodes.client_side.run(f"ping -c 1 -W 5 {shown[2].partition('/')[0]}%{device}")
    with nodes.client_side.entered():
        for _ in range(2):
            await nodes.clients.remove(device)
    assert device not in nodes.client_side.run("ip link")


async def test_another_node_than_the_wanted_one_is_refused(nodes: Nodes) -> None:
    await nodes.start_server()
    with pytest.raises(PeerError, match="VERIFY X509NAME ERROR"):
        await nodes.open(device_name(), cn="2/16")
    assert await nodes.server.clients() == ()


async def test_revoked_node_is_sent_away_and_refused(nodes: Nodes) -> None:
    await nodes.start_server()
    device = device_name()
    await nodes.open(device)
    await nodes.server.set_revoked([5, nodes.client_files.serial])
    assert await nodes.server.disconnect(CLIENT_CN)
    assert not await nodes.server.disconnect(CLIENT_CN)
    async with asyncio.timeout(10):
        assert device in await nodes.clients.ended(device)
    with pytest.raises(PeerError, match="does not get up"):
        await nodes.open(device_name())
    await nodes.server.set_revoked([5])
    await nodes.open(device_name())


async def test_https_on_the_shared_port_reaches_the_control_port(nodes: Nodes) -> None:
    await nodes.start_server()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(nodes.server_files.certificate, nodes.server_files.key)
    with nodes.server_side.entered():
        control = await asyncio.start_server(serve, "127.0.0.1", CONTROL_PORT, ssl=context)
    trust = ssl.create_default_context(cafile=nodes.server_files.ca)
    with nodes.client_side.entered():
        reader, writer = await asyncio.open_connection(
            "192.0.2.1", PORT, ssl=trust, server_hostname="2001:db8:42:1::1"
        )
    writer.write(b"hello\n")
    async with asyncio.timeout(5):
        assert await reader.read() == b"hello\n"
    writer.close()
    control.close()


async def test_next_daemon_adopts_server_and_client(nodes: Nodes) -> None:
    handle = await nodes.start_server()
    device = device_name()
    client_handle = await nodes.open(device)
    nodes.server.release()
    nodes.clients.release()
    nodes.server = OpenvpnServer(nodes.kernels[0], nodes.directory, credentials(nodes.server_files), MARK)
    nodes.clients = OpenvpnClients(nodes.kernels[1], nodes.directory, credentials(nodes.client_files), MARK)
    assert await nodes.server.adopt(handle)
    assert await nodes.clients.adopt(client_handle)
    assert [client.cn for client in await nodes.server.clients()] == [CLIENT_CN]
    await nodes.clients.remove(device)
    assert not await nodes.clients.adopt(client_handle)
    await nodes.server.stop()
    assert not await nodes.server.adopt(handle)
    assert nodes.server_device not in nodes.server_side.run("ip link")


async def test_silent_server_is_noticed(nodes: Nodes) -> None:
    handle = await nodes.start_server()
    device = device_name()
    await nodes.open(device)
    os.kill(handle.process["pid"], signal.SIGSTOP)
    started = asyncio.get_running_loop().time()
    async with asyncio.timeout(10):
        await nodes.clients.ended(device)
    assert asyncio.get_running_loop().time() - started < 6
    os.kill(handle.process["pid"], signal.SIGCONT)


async def test_process_that_nobody_noted_down_is_ended(nodes: Nodes) -> None:
    await nodes.start_server()
    device = device_name()
    await nodes.open(device)
    stranger = OpenvpnClients(nodes.kernels[1], nodes.directory, credentials(nodes.client_files), MARK)
    with nodes.server_side.entered():
        assert end_orphans("openvpn", device) == 0  # another node's
    with nodes.client_side.entered():
        await stranger.remove(device)
    async with asyncio.timeout(5):
        await nodes.clients.ended(device)


async def test_taken_port_is_an_error_that_leaves_nothing(nodes: Nodes) -> None:
    with nodes.server_side.entered():
        other = await asyncio.start_server(lambda _reader, _writer: None, "::", PORT)
    async with other:
        with pytest.raises(RouterError, match="in use"):
            await nodes.start_server()
    assert nodes.server_device not in nodes.server_side.run("ip link")


async def test_missing_program_is_named_with_its_package(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="Debian package openvpn"):
        await nodes.start_server()
