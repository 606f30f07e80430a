"""The real daemon: it starts without a registry, leaves no trace, and names what keeps it from starting."""

import asyncio
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from re6st_core.errors import RouterError
from re6st_core.prefix import Prefix
from re6stnet.adapters.netlink import Kernel
from re6stnet.adapters.peer_api import PEER_PORT
from re6stnet.adapters.status import ask_status
from re6stnet.adapters.wireguard_kernel import kernel_has_wireguard
from re6stnet.app import _until
from tests.helpers.namespace_tests import namespaces
from tests.helpers.node_certificates import NETWORK, write_node
from tests.helpers.node_daemon import Host
from tests.helpers.node_time import in_virtual_time

PORT = 1194
READY = f"address {NETWORK.address(Prefix(16, 1))}"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with namespaces(1) as [namespace]:
        yield Host(namespace, tmp_path)


# --- start and stop ---------------------------------------------------------------------------------------


@pytest.mark.root
async def test_it_works_with_cached_parameters_and_leaves_no_trace(host: Host) -> None:
    host.cache_parameters()
    before = host.traces()
    with host.daemon() as daemon:
        daemon.until(READY)
        during = host.traces()
        assert all(during[name] != before[name] for name in before), "every trace is looked for"
        daemon.until("no peers from the registry")
        status = await ask_status(host.directory / "run" / "re6stnet.sock")
        assert (status.identity.cn, status.daemon.babeld, status.daemon.parameters) == ("1/16", True, 3)
        assert "cannot be reached" in status.daemon.registry_error
        assert status.tunnels == ()
        assert daemon.stop() == 0
    assert host.traces() == before
    assert daemon.errors == []
    assert not list((host.directory / "run").glob("*.sock"))


@pytest.mark.root
def test_while_it_waits_for_the_registry_sigterm_ends_it_at_once(host: Host) -> None:
    before = host.traces()
    with host.daemon() as daemon:
        assert "cannot be reached" in daemon.until("next try in")
        assert host.traces() | {"processes": ""} == before
        assert daemon.stop() == 0
    assert host.traces() == before
    assert daemon.errors == []


@pytest.mark.root
def test_what_a_killed_daemon_left_is_removed_by_the_next_one(host: Host) -> None:
    host.cache_parameters()
    before = host.traces()
    with host.daemon() as daemon:
        daemon.until(READY)
    children = set(host.traces()["processes"].split())
    assert children, "babeld and the OpenVPN server live on"
    with host.daemon() as daemon:
        daemon.until(READY)
        assert children < set(host.traces()["processes"].split()), "and are adopted"
        assert daemon.stop() == 0
    assert host.traces() == before


# --- a start that fails ---------------------------------------------------------------------------------


@pytest.mark.root
@pytest.mark.parametrize(
    ("kind", "port", "line"),
    [
        (socket.SOCK_STREAM, PORT, f"re6stnet: cannot listen on TCP port {PORT}: Address already in use"),
        (socket.SOCK_DGRAM, PORT, f"re6stnet: cannot listen on UDP port {PORT}: Address already in use"),
        (
            socket.SOCK_STREAM,
            PEER_PORT,
            f"re6stnet: cannot listen on TCP port {PEER_PORT} of {NETWORK.address(Prefix(16, 1))}: "
            "Address already in use",
        ),
    ],
)
def test_a_port_that_is_taken_is_named_and_nothing_remains(
    host: Host, kind: socket.SocketKind, port: int, line: str
) -> None:
    host.cache_parameters()
    with host.namespace.entered():
        other = socket.socket(socket.AF_INET6, kind)
    with other:
        other.bind(("::", port))
        if kind == socket.SOCK_STREAM:
            other.listen()
        before = host.traces()
        with host.daemon() as daemon:
            assert daemon.ends() == 2
        assert daemon.errors == [line]
        assert host.traces() == before


@pytest.mark.root
def test_a_start_that_fails_after_adoption_leaves_nothing_of_the_killed_daemon_either(host: Host) -> None:
    host.cache_parameters()
    before = host.traces()
    with host.daemon() as daemon:
        daemon.until(READY)
    with host.namespace.entered():
        other = socket.create_server(("::", PEER_PORT), family=socket.AF_INET6)
    with other, host.daemon() as daemon:
        assert daemon.ends() == 2
    assert host.traces() == before


@pytest.mark.root
def test_a_main_interface_that_does_not_exist_is_named_and_nothing_remains(host: Host) -> None:
    host.cache_parameters()
    before = host.traces()
    with host.daemon("--main-interface", "nosuch") as daemon:
        assert daemon.ends() == 1
    assert daemon.errors == ["re6stnet: there is no network device nosuch"]
    assert host.traces() == before


@pytest.mark.root
def test_a_second_daemon_on_the_same_state_leaves_the_first_alone(host: Host) -> None:
    host.cache_parameters()
    with host.daemon() as first:
        first.until(READY)
        before = host.traces()
        with host.daemon() as second:
            assert second.ends() == 2
        assert second.errors == [
            f"re6stnet: another re6stnet (pid {first.popen.pid}) uses the state directory {host.state}"
        ]
        assert host.traces() == before
        assert first.stop() == 0


@pytest.mark.root
def test_a_key_that_does_not_belong_to_the_certificate(host: Host) -> None:
    before = host.traces()
    (host.directory / "other").mkdir()
    other = write_node(host.directory / "other", host.ca, Prefix(16, 1), 2)
    shutil.copy(other / "cert.key", host.node / "cert.key")
    with host.daemon() as daemon:
        assert daemon.ends() == 2
    [line] = daemon.errors
    assert "was not made for the key" in line
    assert host.traces() == before


@pytest.mark.root
async def test_missing_programs_are_named_all_at_once_with_their_packages(host: Host) -> None:
    packages = {"babeld": "babeld", "openvpn": "openvpn", "nft": "nftables", "wireguard-go": "wireguard-go"}
    kernel = await Kernel.open()
    if await kernel_has_wireguard(kernel):
        del packages["wireguard-go"]
    await kernel.close()
    before = host.traces()
    with host.daemon(environment={"PATH": str(host.directory)}) as daemon:
        assert daemon.ends() == 2
    expected = {
        f"re6stnet: program not found: {name}: install the Debian package {package}"
        for name, package in packages.items()
    }
    assert set(daemon.errors) == expected
    assert host.traces() == before


# --- working until told to stop -------------------------------------------------------------------------


async def fails() -> None:
    raise RouterError("babeld is gone")


async def ends() -> None:
    pass


async def never() -> None:
    await asyncio.Event().wait()


def test_work_ends_with_its_first_part() -> None:
    async def story() -> None:
        assert await _until(asyncio.Event(), never(), ends())

    in_virtual_time(story())


def test_work_ends_when_told_to_stop_and_all_parts_with_it() -> None:
    ended: list[str] = []

    async def cleans_up() -> None:
        try:
            await never()
        finally:
            ended.append("cleaned up")

    async def story() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(3, stop.set)
        assert not await _until(stop, cleans_up(), never())

    in_virtual_time(story())
    assert ended == ["cleaned up"]


def test_a_stop_that_came_before_wins() -> None:
    async def story() -> None:
        stop = asyncio.Event()
        stop.set()
        assert not await _until(stop, never())
        assert not await _until(stop, ends())

    in_virtual_time(story())


def test_the_failure_of_a_part_is_raised() -> None:
    async def story() -> None:
        with pytest.raises(RouterError, match="babeld is gone"):
            await _until(asyncio.Event(), never(), fails())

    in_virtual_time(story())


def test_being_cancelled_ends_the_parts() -> None:
    async def story() -> None:
        task = asyncio.create_task(_until(asyncio.Event(), never()))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    in_virtual_time(story())
