"""Nodes that UDP does not reach: real certificates, real handshakes, one shared TCP port."""

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import pytest

from babel_ctl.process import DetachedProcess
from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import ConfigError, PeerError, RouterError
from re6stnet.adapters import openvpn
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

    def new_server(self) -> OpenvpnServer:
        """As the next daemon has it."""
        directory = self.directory
        return OpenvpnServer(self.kernels[0], directory, directory, credentials(self.server_files), MARK)

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


def add_options(monkeypatch: pytest.MonkeyPatch, role: str, options: list[str]) -> None:
    """Have one end started with options of somebody who means harm."""
    start = DetachedProcess.spawn

    def spawn_with(argv: list[str], *, log: Path) -> DetachedProcess:
        return start([*argv, *options] if role in argv else argv, log=log)

    monkeypatch.setattr(DetachedProcess, "spawn", spawn_with)


class DyingServer(OpenvpnServer):
    """Of a daemon that is killed as soon as it has noted the process down."""

    async def stop(self) -> None:
        self.release()


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
    server = OpenvpnServer(kernels[0], run, run, credentials(files[0]), MARK)
    clients = OpenvpnClients(kernels[1], run, credentials(files[1]), MARK)
    made = Nodes(pair[0], pair[1], server, clients, files[1], files[0], device_name(), kernels, run)
    yield made
    await made.server.stop()
    for device in list(made.clients._processes):
        await made.clients.remove(device)
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
    nodes.server = nodes.new_server()
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
        assert await end_orphans("openvpn", device) == 0  # another node's
    with nodes.client_side.entered():
        await stranger.remove(device)
    async with asyncio.timeout(5):
        await nodes.clients.ended(device)


async def test_server_sets_nothing_on_a_client_that_could_harm_it(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = [
        "route 198.51.100.0 255.255.255.0", "redirect-gateway def1 ipv6", "route-ipv6 2001:db8:bad::/48",
        "ifconfig 10.66.0.2 255.255.255.0", "ifconfig-ipv6 2001:db8:bad::2/64 2001:db8:bad::1",
        "route-gateway 10.66.0.1", "dhcp-option DNS 10.66.0.1", "tun-mtu 1300", "ping-restart 1",
        "setenv-safe X 1", "echo hello",
    ]  # fmt: skip
    add_options(monkeypatch, "--mode", [word for option in evil for word in ("--push", option)])
    await nodes.start_server()
    before = [nodes.client_side.run(f"ip -{family} route") for family in (4, 6)]
    device = device_name()
    await nodes.open(device)
    assert [client.cn for client in await nodes.server.clients()] == [CLIENT_CN]
    after = [nodes.client_side.run(f"ip -{family} route") for family in (4, 6)]
    assert [[line for line in text.splitlines() if device not in line] for text in after] == [
        text.splitlines() for text in before
    ]
    assert [line.split()[0] for line in "\n".join(after).splitlines() if device in line] == ["fe80::/64"]
    shown = nodes.client_side.run(f"ip address show dev {device}")
    assert "10.66" not in shown
    assert "bad" not in shown
    assert "mtu 1400" in shown
    address = nodes.server_side.run(f"ip -6 -brief address show dev {nodes.server_device}").split()[2]
    nodes.client_side.run(f"ping -c 1 -W 5 {address.partition('/')[0]}%{device}")


async def test_a_client_sets_nothing_on_the_server(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    demands = ["--push-peer-info", "--setenv", "UV_X", "1", "--route-ipv6", "2001:db8:bad::/48"]
    add_options(monkeypatch, "--client", demands)
    await nodes.start_server()
    before = [nodes.server_side.run(f"ip -{family} route") for family in (4, 6)]
    await nodes.open(device_name())
    assert [client.cn for client in await nodes.server.clients()] == [CLIENT_CN]
    assert [nodes.server_side.run(f"ip -{family} route") for family in (4, 6)] == before


async def test_server_whose_daemon_died_before_it_noted_it_down_does_not_hold_the_port(nodes: Nodes) -> None:
    handles: list[OpenvpnHandle] = []
    with nodes.server_side.entered():
        await nodes.server.start(
            nodes.server_device, port=PORT, control_port=9, max_clients=4, on_spawn=handles.append
        )
    nodes.server.release()
    nodes.server = nodes.new_server()
    with nodes.server_side.entered():
        await nodes.server.clear(nodes.server_device)
        assert nodes.server_device not in nodes.server_side.run("ip link")
        with socket.create_server(("::", PORT), family=socket.AF_INET6):
            pass
        assert await nodes.start_server() != handles[0]


async def test_server_whose_daemon_died_right_after_the_start_is_adopted_or_replaced(nodes: Nodes) -> None:
    handles: list[OpenvpnHandle] = []

    def note(handle: OpenvpnHandle) -> None:
        handles.append(handle)
        raise KeyboardInterrupt

    dying = DyingServer(
        nodes.kernels[0], nodes.directory, nodes.directory, credentials(nodes.server_files), MARK
    )
    with nodes.server_side.entered():
        with pytest.raises(KeyboardInterrupt):
            await dying.start(nodes.server_device, port=PORT, control_port=9, max_clients=4, on_spawn=note)
        if not await nodes.server.adopt(handles[0], link_local=IPv6Address("fe80::1234")):
            await nodes.start_server()
    await nodes.open(device_name())
    assert [client.cn for client in await nodes.server.clients()] == [CLIENT_CN]


async def test_adopted_server_gets_its_address_if_it_had_none_yet(nodes: Nodes) -> None:
    handle = await nodes.start_server()
    nodes.server.release()
    nodes.server = nodes.new_server()
    with nodes.server_side.entered():
        assert await nodes.server.adopt(handle, link_local=IPv6Address("fe80::1234"))
    assert "fe80::1234/64" in nodes.server_side.run(f"ip address show dev {nodes.server_device}")


async def test_logs_are_emptied_when_they_have_grown(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvpn, "_CHECK_S", 0.01)
    monkeypatch.setattr(openvpn, "MAX_LOG", 1000)
    emptied = asyncio.Event()
    truncate = os.truncate

    def noticed(path: Path, length: int) -> None:
        truncate(path, length)
        emptied.set()

    monkeypatch.setattr(os, "truncate", noticed)
    await nodes.start_server()
    path = nodes.directory / "openvpn-server.log"
    watch = asyncio.create_task(nodes.server.ended())
    with path.open("a") as log:
        log.write("x" * 2000)
    async with asyncio.timeout(5):
        await emptied.wait()
    assert path.stat().st_size == 0
    await nodes.open(device_name())
    assert b"\0" not in path.read_bytes()
    watch.cancel()


async def test_server_without_its_device_writes_little_and_is_ended(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    await nodes.start_server()
    nodes.server_side.run(f"ip link delete {nodes.server_device}")
    for _ in range(50):
        await nodes.server.clients()
    assert (nodes.directory / "openvpn-server.log").stat().st_size < 10_000
    monkeypatch.setattr(openvpn, "_CHECK_S", 0.01)
    async with asyncio.timeout(5):
        assert "ended" in await nodes.server.ended()


async def test_strangers_write_little_into_the_log(nodes: Nodes) -> None:
    await nodes.start_server()
    path = nodes.directory / "openvpn-server.log"
    before = path.stat().st_size
    with nodes.client_side.entered():
        for _ in range(20):
            _reader, writer = await asyncio.open_connection("192.0.2.1", PORT)
            writer.write(b"\0\x0e\x38" + bytes(13))
            writer.close()
            await writer.wait_closed()
    await nodes.open(device_name())
    assert path.stat().st_size - before < 20 * 600


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
