"""What the node tells about itself is what its parts know."""

import os
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from time import monotonic
from typing import Any, cast

import pytest

from babel_ctl.messages import BabelState, Route
from babel_ctl.supervisor import BabeldSupervisor
from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import PeerError
from re6st_core.json_wire import decode_json_untrusted, encode_json
from re6st_core.netparams import NetworkParameters
from re6st_core.peer_wire import OPENVPN, WIREGUARD
from re6st_core.prefix import Prefix
from re6stnet.adapters.explorer import Explorer
from re6stnet.adapters.prober import Prober
from re6stnet.adapters.registrar import Registrar
from re6stnet.adapters.relay import Relay
from re6stnet.adapters.routing import BabelRouting
from re6stnet.adapters.status import Status
from re6stnet.adapters.store import SqliteStore
from re6stnet.adapters.tunnels import SERVER_DEVICE, TunnelManager
from re6stnet.engine.engine import Engine
from re6stnet.engine.messages import (
    NeighbourChanged,
    Rotate,
    RouteChange,
    RoutesChanged,
    Started,
    TunnelRecord,
)
from re6stnet.membership import Membership
from re6stnet.node import Events, Node
from re6stnet.ports import SavedTunnel
from re6stnet.report import Reporter
from re6stnet.settings import Settings
from tests.helpers.node_certificates import NETWORK, authority, write_node
from tests.helpers.node_fakes import Collected, FakeExplorer, FakeMessenger, FakeRelayServer
from tests.helpers.node_tunnels import Daemon, Machine

OWN, PEER, FAR = Prefix(16, 1), Prefix(16, 2), Prefix(16, 3)
ONE, TWO = "1" * 32, "2" * 32
ENDPOINT = Endpoint(ip_address("198.51.100.2"), 1194, Protocol.UDP)
RECORDS = (
    TunnelRecord(ONE, PEER, True, WIREGUARD, 1420, ENDPOINT),
    TunnelRecord(TWO, FAR, False, OPENVPN, 1420),
)


@dataclass
class FakeBabeld:
    """The supervisor's face towards the report."""

    pid: int | None = 4711
    connected: bool = True

    @property
    def client(self) -> "FakeBabeld":
        return self

    @property
    def state(self) -> BabelState:
        return BabelState(self.connected, "babeld-1.12.1", None, 1, "")


@dataclass
class FakeRegistrar:
    """The registrar's face towards the report."""

    last_error: str = ""
    endpoints: tuple[Endpoint, ...] = (ENDPOINT,)


@pytest.fixture
def reporter(tmp_path: Path) -> Iterator[Reporter]:
    here = write_node(tmp_path, authority(), OWN)
    nothing: Any = None
    settings = Settings(
        registry="http://registry.example/", ca=here / "ca.crt", cert=here / "cert.crt",
        key=here / "cert.key", log=tmp_path, run=tmp_path, state=tmp_path,
    )  # fmt: skip
    engine = Engine(OWN, NetworkParameters(version=5), rng=random.Random(1), new_nonce=lambda: "0" * 32)
    with closing(SqliteStore(tmp_path / "state")) as store:
        daemon = Daemon(Machine(store))
        yield Reporter(
            node=Node(
                engine, Events(), tunnels=daemon.tunnels, messenger=FakeMessenger(),
                explorer=FakeExplorer(), keep_relay=nothing, bootstrap=nothing,
            ),
            settings=settings,
            members=Membership(settings, store, lambda _event: None, mark=1, rng=random.Random(1)),
            registrar=cast(Registrar, FakeRegistrar()),
            routing=BabelRouting(NETWORK, lambda _event: None),
            tunnels=daemon.tunnels,
            prober=cast(Prober, daemon.prober),
            explorer=cast(Explorer, FakeExplorer(sent_bytes=4321)),
            babeld=cast(BabeldSupervisor, FakeBabeld()),
            relay=Relay(FakeRelayServer().connect, random.Random(1)),
            post=Collected(),
            started=monotonic() - 60,
        )  # fmt: skip


def with_tunnels(reporter: Reporter) -> None:
    engine = reporter.node.engine
    engine.handle(Started(RECORDS), now=0.0)
    manager: TunnelManager = reporter.tunnels
    manager._saved[ONE] = SavedTunnel(RECORDS[0], "re6st11111111", 1195, {"pid": 77})
    manager._saved[TWO] = SavedTunnel(RECORDS[1], SERVER_DEVICE)
    engine.handle(NeighbourChanged(ONE, True, 12345), now=1.0)
    engine.handle(RoutesChanged((RouteChange(FAR, ONE, 100, True), RouteChange(PEER, ONE, 9, True))), now=1.0)
    reporter.node.active_since[ONE] = monotonic() - 5
    via = IPv6Address("fe80::2")
    route = Route(1, NETWORK.subnet(FAR), NETWORK.cidr, True, "02", 100, 5, via, "re6st11111111")
    reporter.routing.routes[FAR, ONE] = route
    reporter.routing.routes[FAR, TWO] = replace(route, installed=False, metric=300, interface=SERVER_DEVICE)


def test_a_node_that_has_just_started(reporter: Reporter) -> None:
    status = reporter.status()
    assert (status.identity.cn, status.identity.network) == ("1/16", str(NETWORK))
    assert status.identity.address == str(NETWORK.address(OWN))
    assert datetime.fromisoformat(status.identity.expires) > datetime.now(UTC)
    daemon = status.daemon
    assert daemon.selection_bytes == 4321
    assert (daemon.pid, daemon.babeld, daemon.babeld_pid, daemon.relay) == (os.getpid(), True, 4711, False)
    assert daemon.endpoints == ("198.51.100.2,1194,udp",)
    assert daemon.parameters == 5
    assert 60 <= daemon.uptime_s < 90
    assert 5e6 < daemon.rss_bytes < 2e9
    assert (status.tunnels, status.routes) == ((), ())


def test_its_tunnels(reporter: Reporter) -> None:
    with_tunnels(reporter)
    one, two = sorted(reporter.status().tunnels, key=lambda t: t.tunnel)
    assert (one.peer, one.transport, one.device, one.pid) == ("2/16", "wireguard", "re6st11111111", 77)
    assert (one.state, one.role, one.rtt_ms) == ("active", "client", 12.345)
    assert one.endpoint == "198.51.100.2,1194,udp"
    assert one.since_s is not None
    assert 5 <= one.since_s < 30
    assert one.destinations == 2
    assert (two.peer, two.transport, two.device, two.pid) == ("3/16", "openvpn", SERVER_DEVICE, None)
    assert (two.state, two.role, two.rtt_ms, two.since_s) == ("connecting", "server", None, None)
    assert (two.endpoint, two.destinations) == ("", 0)


def test_its_routes(reporter: Reporter) -> None:
    with_tunnels(reporter)
    first, second = reporter.status().routes
    assert (first.destination, first.peer, first.metric) == (str(NETWORK.subnet(FAR)), "2/16", 100)
    assert (first.via, first.device, first.installed) == ("fe80::2", "re6st11111111", True)
    assert (second.peer, second.device, second.installed) == ("3/16", SERVER_DEVICE, False)


def test_what_is_wrong_is_told(reporter: Reporter) -> None:
    cast(FakeBabeld, reporter.babeld).connected = False
    cast(FakeBabeld, reporter.babeld).pid = None
    cast(FakeRegistrar, reporter.registrar).last_error = "connection refused"
    daemon = reporter.status().daemon
    assert (daemon.babeld, daemon.babeld_pid) == (False, None)
    assert daemon.registry_error == "connection refused"


def test_it_survives_the_way_to_the_command(reporter: Reporter) -> None:
    with_tunnels(reporter)
    status = reporter.status()
    assert decode_json_untrusted(Status, encode_json(status)) == status


def test_a_rotation_needs_a_tunnel_that_works(reporter: Reporter) -> None:
    with pytest.raises(PeerError, match="no tunnel with 9/16"):
        reporter.rotate("9/16")
    with_tunnels(reporter)
    with pytest.raises(PeerError, match="is connecting"):
        reporter.rotate(RECORDS[1].peer.cn)
    assert "2/16 is asked" in reporter.rotate("2/16")
    assert cast(Collected, reporter.post).events == [Rotate(PEER)]
