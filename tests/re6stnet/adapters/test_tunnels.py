"""Tunnels are made step by step and undone whatever the step was, by this daemon or the next one."""

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import PeerError, Re6stError, RouterError
from re6st_core.peer_wire import OPENVPN, WIREGUARD
from re6st_core.prefix import Prefix
from re6stnet.adapters.routing import link_local
from re6stnet.adapters.store import SqliteStore
from re6stnet.adapters.stun import StunReflector
from re6stnet.adapters.tunnels import POOL_SIZE, SERVER_DEVICE
from re6stnet.engine.messages import (
    Broken,
    Created,
    NeighbourChanged,
    PeerMoved,
    Prepare,
    Prepared,
    Retired,
    TunnelRecord,
)
from tests.helpers.namespace_tests import TestNamespace, namespaces
from tests.helpers.node_fakes import kinds
from tests.helpers.node_tunnels import MARK, Daemon, Machine

pytestmark = pytest.mark.root  # SO_MARK
PEER = Prefix(16, 2)
N = "0123456789abcdef" * 2
DEVICE = "re6st01234567"
UDP = Endpoint(ip_address("198.51.100.2"), 1194, Protocol.UDP)
TCP = Endpoint(ip_address("198.51.100.2"), 1194, Protocol.TCP)
PREPARE = Prepare(N, PEER, WIREGUARD, None)
WG = TunnelRecord(N, PEER, True, WIREGUARD, 1420, UDP, "key")
CLIENT = TunnelRecord(N, PEER, True, OPENVPN, 1420, TCP)
SERVED = TunnelRecord(N, PEER, False, OPENVPN, 1420)


@pytest.fixture(scope="module")
def namespace() -> Iterator[TestNamespace]:
    with namespaces(1) as [made]:
        yield made


@pytest.fixture(autouse=True)
def ports_of_our_own(namespace: TestNamespace) -> Iterator[None]:
    with namespace.entered():
        yield


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with contextlib.closing(SqliteStore(tmp_path / "state")) as store:
        yield Machine(store)


async def make(daemon: Daemon, record: TunnelRecord) -> None:
    await daemon.tunnels.prepare(Prepare(N, PEER, record.transport, None))
    await daemon.tunnels.create(record)
    await daemon.tunnels.join(N)


def nothing_left(daemon: Daemon) -> bool:
    machine = daemon.machine
    assert machine.devices == {}
    assert machine.ports == {}
    assert machine.saved() == []
    assert daemon.babeld.interfaces == set()
    assert daemon.tunnels.saved(N) is None
    assert daemon.tunnels._local == {}
    assert daemon.prober.probed == {}
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as again:
        again.bind(("::", 41258))  # the local port is free
    return True


async def test_a_wireguard_tunnel_from_its_port_to_babeld_and_back(machine: Machine) -> None:
    daemon = Daemon(machine)
    await daemon.tunnels.prepare(PREPARE)
    [prepared] = daemon.told.events
    assert isinstance(prepared, Prepared)
    assert prepared.source is None
    assert len(prepared.public_key) == 44
    await daemon.tunnels.create(WG)
    assert daemon.told.events[1:] == [Created(N)]
    assert machine.steps == ["rules set", "wireguard create"]
    assert daemon.prober.probed == {N: (DEVICE, link_local(N, PEER))}
    await daemon.tunnels.join(N)
    assert daemon.babeld.interfaces == {DEVICE}
    assert machine.ports == {41258: (UDP, UDP.ip)}
    saved = daemon.tunnels.saved(N)
    assert saved is not None
    assert (saved.device, saved.local_port, saved.process) == (DEVICE, 41258, {"pid": 7})
    assert machine.saved() == [N]
    machine.steps.clear()
    await daemon.tunnels.remove(N)
    assert machine.steps == [f"babeld flushes {DEVICE}", "wireguard remove", "rules remove"]
    assert nothing_left(daemon)


async def test_a_tunnel_leaves_babeld_and_comes_back_with_its_device_untouched(machine: Machine) -> None:
    daemon = Daemon(machine)
    await make(daemon, WG)
    machine.steps.clear()
    await daemon.tunnels.leave(N)
    assert daemon.babeld.interfaces == set()
    assert list(daemon.prober.probed) == [N]
    await daemon.tunnels.join(N)
    assert machine.steps == [
        f"babeld flushes {DEVICE}",
        f"mtu of {DEVICE} up to 1420",
        f"babeld adds {DEVICE}",
    ]
    await daemon.tunnels.remove(N)
    assert nothing_left(daemon)


async def test_a_tunnel_whose_peer_never_answers_is_removed_without_babeld(machine: Machine) -> None:
    daemon = Daemon(machine)
    await daemon.tunnels.prepare(PREPARE)
    await daemon.tunnels.create(WG)
    await daemon.tunnels.remove(N)
    assert f"babeld adds {DEVICE}" not in machine.steps
    assert nothing_left(daemon)


async def test_a_device_that_cannot_be_probed_fails_and_leaves_nothing(machine: Machine) -> None:
    daemon = Daemon(machine)
    machine.fail["probe"] = RouterError("no")
    with pytest.raises(RouterError):
        await make(daemon, WG)
    assert Created(N) not in daemon.told.events
    await daemon.tunnels.remove(N)
    assert nothing_left(daemon)


async def test_a_retired_tunnel_is_gone_from_babeld_only(machine: Machine) -> None:
    daemon = Daemon(machine)
    await make(daemon, WG)
    machine.steps.clear()
    await daemon.tunnels.retire(N)
    assert machine.steps == [f"babeld flushes {DEVICE}"]
    assert daemon.told.events[-1] == Retired(N)
    assert DEVICE in machine.devices
    await daemon.tunnels.remove(N)
    assert nothing_left(daemon)


async def test_a_tunnel_that_is_not_there_is_retired_all_the_same(machine: Machine) -> None:
    daemon = Daemon(machine)
    await daemon.tunnels.retire(N)
    assert daemon.told.events == [Retired(N)]


async def test_where_a_peer_has_moved_to_is_noted_once(machine: Machine) -> None:
    daemon = Daemon(machine)
    await make(daemon, WG)
    await daemon.tunnels.follow_peers()
    assert machine.ports == {41258: (UDP, UDP.ip)}
    moved = Endpoint(ip_address("203.0.113.9"), 4711, Protocol.UDP)
    machine.endpoints[DEVICE] = moved
    for _ in range(2):
        await daemon.tunnels.follow_peers()
    assert [e for e in daemon.told.events if isinstance(e, PeerMoved)] == [PeerMoved(N, moved)]
    assert machine.ports == {41258: (moved, moved.ip)}
    [saved] = machine.store.tunnels()
    assert saved.record.endpoint == moved
    await daemon.tunnels.remove(N)
    assert nothing_left(daemon)


async def test_an_openvpn_client_gets_to_babeld_when_its_server_answers(machine: Machine) -> None:
    daemon = Daemon(machine)
    await make(daemon, CLIENT)
    assert machine.steps == ["openvpn create", "openvpn connected", f"babeld adds {DEVICE}"]
    assert daemon.told.events == [Prepared(N, ""), Created(N)]
    assert daemon.prober.probed == {N: (DEVICE, link_local("server", PEER))}
    await daemon.tunnels.remove(N)
    assert nothing_left(daemon)


async def test_a_client_of_our_tcp_server_costs_its_address_and_is_sent_away_at_the_end(
    machine: Machine,
) -> None:
    daemon = Daemon(machine)
    await make(daemon, SERVED)
    assert machine.steps == []
    saved = daemon.tunnels.saved(N)
    assert saved is not None
    assert saved.device == SERVER_DEVICE
    assert daemon.routing._tunnels == {(SERVER_DEVICE, link_local(N, PEER)): N}
    assert daemon.tunnels.tcp_clients() == {PEER.cn}
    assert daemon.prober.probed == {N: (SERVER_DEVICE, link_local(N, PEER))}
    await daemon.tunnels.leave(N)
    assert machine.steps == [], "the device is that of others, too"
    await daemon.tunnels.remove(N)
    assert machine.steps == [f"expel {PEER.cn}"]
    assert daemon.tunnels.tcp_clients() == frozenset()
    assert nothing_left(daemon)


async def test_a_client_that_has_a_newer_tunnel_to_our_tcp_server_stays(machine: Machine) -> None:
    daemon = Daemon(machine)
    other = "9" * 32
    for name in (N, other):
        await daemon.tunnels.create(dataclasses.replace(SERVED, tunnel=name))
    await daemon.tunnels.remove(N)
    assert machine.steps == []
    await daemon.tunnels.remove(other)
    assert machine.steps == [f"expel {PEER.cn}"]


async def test_a_client_knows_the_server_by_the_address_that_all_clients_see(machine: Machine) -> None:
    daemon = Daemon(machine)
    await make(daemon, CLIENT)
    assert daemon.routing._tunnels == {(DEVICE, link_local("server", PEER)): N}
    await daemon.tunnels.remove(N)


async def test_what_the_network_says_of_metrics_reaches_babeld(machine: Machine) -> None:
    tunnels = Daemon(machine).tunnels
    wireguard, tcp = tunnels.interface, tunnels.tcp_interface
    assert (wireguard.rxcost, wireguard.link_quality, wireguard.split_horizon) == (32, True, True)
    assert (tcp.rxcost, tcp.link_quality, tcp.split_horizon) == (32, False, False), (
        "several clients share one"
    )
    assert tcp.hello_interval_s == 0.375


async def test_the_mapped_address_is_asked_from_the_very_port(machine: Machine) -> None:
    daemon = Daemon(machine)
    reflector = StunReflector.open(41193, MARK)
    server = Endpoint(ip_address("127.0.0.1"), 41193, Protocol.UDP)
    await daemon.tunnels.prepare(Prepare(N, PEER, WIREGUARD, server))
    reflector.close()
    [prepared] = daemon.told.events
    assert isinstance(prepared, Prepared)
    assert prepared.source == Endpoint(ip_address("127.0.0.1"), 41258, Protocol.UDP)
    assert prepared.rtt_us
    await daemon.tunnels.remove(N)
    assert nothing_left(daemon)


@pytest.mark.parametrize(
    ("record", "step"),
    [
        (WG, "rules set"),
        (WG, "wireguard create"),
        (CLIENT, "openvpn create"),
        (CLIENT, "openvpn connected"),
    ],
)
@pytest.mark.parametrize("error", [RouterError("no"), PeerError("no"), ZeroDivisionError()])
async def test_whichever_step_fails_removal_leaves_nothing(
    machine: Machine, record: TunnelRecord, step: str, error: Exception
) -> None:
    daemon = Daemon(machine)
    await daemon.tunnels.prepare(Prepare(N, PEER, record.transport, None))
    machine.fail[step] = error
    with pytest.raises(type(error)):
        await daemon.tunnels.create(record)
    machine.fail.clear()
    assert Created(N) not in daemon.told.events
    await daemon.tunnels.remove(N)
    assert nothing_left(daemon)


async def test_a_preparation_that_fails_leaves_nothing(machine: Machine) -> None:
    daemon = Daemon(machine)
    machine.fail["rules set"] = RouterError("nft")
    with pytest.raises(RouterError):
        await daemon.tunnels.prepare(Prepare(N, PEER, WIREGUARD, UDP))
    await daemon.tunnels.remove(N)
    assert nothing_left(daemon)


@pytest.mark.parametrize("step", [f"babeld flushes {DEVICE}", "wireguard remove", "rules remove"])
async def test_a_removal_that_fails_does_the_rest_and_can_be_repeated(machine: Machine, step: str) -> None:
    daemon = Daemon(machine)
    await make(daemon, WG)
    machine.steps.clear()
    machine.fail[step] = RouterError("no")
    with pytest.raises(RouterError):
        await daemon.tunnels.remove(N)
    assert machine.steps == [f"babeld flushes {DEVICE}", "wireguard remove", "rules remove"]
    assert machine.saved() == [N], "the next daemon has to know"
    machine.fail.clear()
    other = "9" * 32
    await daemon.tunnels.prepare(Prepare(other, PEER, WIREGUARD, None))
    assert daemon.tunnels._local[other].port == 41258, "a failure takes no local port"
    await daemon.tunnels.remove(other)
    await daemon.tunnels.remove(N)
    assert nothing_left(daemon)


async def test_removing_twice_or_what_never_was_is_fine(machine: Machine) -> None:
    daemon = Daemon(machine)
    await daemon.tunnels.remove(N)
    await make(daemon, WG)
    await asyncio.gather(daemon.tunnels.remove(N), daemon.tunnels.remove(N))
    await daemon.tunnels.remove(N)
    assert nothing_left(daemon)


async def test_the_end_of_its_process_breaks_a_tunnel(machine: Machine) -> None:
    daemon = Daemon(machine)
    await make(daemon, WG)
    machine.devices[DEVICE].set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert daemon.told.events[-1] == Broken(N, f"{DEVICE} ended")
    await daemon.tunnels.remove(N)
    assert nothing_left(daemon)


async def test_after_removal_nobody_watches(machine: Machine) -> None:
    daemon = Daemon(machine)
    await make(daemon, WG)
    ended = machine.devices[DEVICE]
    await daemon.tunnels.remove(N)
    ended.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert kinds(daemon.told.events) == ["Prepared", "Created"]


async def test_closing_removes_what_is_left_as_well_as_it_goes(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    daemon = Daemon(machine)
    await make(daemon, WG)
    await daemon.tunnels.prepare(Prepare("9" * 32, PEER, WIREGUARD, None))
    machine.fail[f"babeld flushes {DEVICE}"] = RouterError("babeld is not started")
    await daemon.tunnels.close()
    assert "babeld is not started" in caplog.text
    assert (machine.devices, machine.ports) == ({}, {})
    machine.fail.clear()
    daemon.babeld.interfaces.clear()
    await daemon.tunnels.close()
    assert nothing_left(daemon)


# --- the next daemon --------------------------------------------------------------------------------------


async def start(machine: Machine, *, server_lives: bool = True) -> tuple[Daemon, tuple[TunnelRecord, ...]]:
    machine.steps.clear()
    daemon = Daemon(machine)
    adopted = await daemon.tunnels.adopt(server_lives=server_lives)
    await daemon.tunnels.resume()
    return daemon, adopted


@pytest.mark.parametrize("record", [WG, CLIENT])
async def test_a_whole_tunnel_is_adopted(machine: Machine, record: TunnelRecord) -> None:
    first = Daemon(machine)
    await make(first, record)
    rules = dict(machine.ports)
    daemon, adopted = await start(machine)
    assert adopted == (record,)
    assert machine.ports == rules
    assert daemon.babeld.interfaces == {DEVICE}
    assert list(machine.devices) == [DEVICE]
    machine.devices[DEVICE].set()
    assert await daemon.told.next() == Broken(N, f"{DEVICE} ended")
    await daemon.tunnels.remove(N)
    assert nothing_left(daemon)


@pytest.mark.parametrize("record", [WG, CLIENT])
async def test_what_is_left_of_a_broken_one_goes(machine: Machine, record: TunnelRecord) -> None:
    first = Daemon(machine)
    await make(first, record)
    machine.devices.clear()
    daemon, adopted = await start(machine)
    assert adopted == ()
    assert f"babeld flushes {DEVICE}" in machine.steps, "babeld, too, was adopted"
    assert nothing_left(daemon)


async def test_one_whose_remains_resist_is_kept_in_mind(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    await make(Daemon(machine), WG)
    machine.devices.clear()
    machine.fail["wireguard remove"] = RouterError("busy")
    await start(machine)
    assert "busy" in caplog.text
    assert machine.saved() == [N]
    machine.fail.clear()
    daemon, _ = await start(machine)
    assert nothing_left(daemon)


@pytest.mark.parametrize("error", [RouterError("malformed identity of a process"), PeerError("no")])
async def test_a_tunnel_that_cannot_be_judged_counts_as_broken(machine: Machine, error: Re6stError) -> None:
    await make(Daemon(machine), WG)
    machine.fail["wireguard adopt"] = error
    daemon, adopted = await start(machine)
    assert adopted == ()
    assert nothing_left(daemon)


async def test_a_daemon_killed_before_its_device_was_whole(machine: Machine) -> None:
    first = Daemon(machine)
    await first.tunnels.prepare(PREPARE)
    machine.fail["wireguard create"] = RouterError("killed here")
    with pytest.raises(RouterError):
        await first.tunnels.create(WG)
    machine.fail.clear()
    assert machine.saved() == [N]
    daemon, adopted = await start(machine)
    assert adopted == ()
    assert nothing_left(daemon)


@pytest.mark.parametrize("lives", [True, False])
async def test_clients_of_the_tcp_server_live_and_die_with_it(machine: Machine, lives: bool) -> None:
    await make(Daemon(machine), SERVED)
    daemon, adopted = await start(machine, server_lives=lives)
    assert adopted == ((SERVED,) if lives else ())
    assert machine.saved() == ([N] if lives else [])
    assert daemon.babeld.interfaces == set()


async def test_local_ports_of_adopted_tunnels_are_not_given_twice(machine: Machine) -> None:
    await make(Daemon(machine), WG)
    daemon, _ = await start(machine)
    other = "9" * 32
    await daemon.tunnels.prepare(Prepare(other, PEER, WIREGUARD, None))
    assert daemon.tunnels._local[other].port == 41257
    await daemon.tunnels.close()
    assert nothing_left(daemon)


async def test_when_all_local_ports_are_taken_the_attempt_fails(machine: Machine) -> None:
    daemon = Daemon(machine)
    names = [f"{number:032x}" for number in range(POOL_SIZE + 1)]
    for name in names[:-1]:
        await daemon.tunnels.prepare(Prepare(name, PEER, WIREGUARD, None))
    with pytest.raises(RouterError, match="all local UDP ports"):
        await daemon.tunnels.prepare(Prepare(names[-1], PEER, WIREGUARD, None))
    await daemon.tunnels.close()
    assert nothing_left(daemon)
    assert not any(isinstance(event, NeighbourChanged) for event in daemon.told.events)
