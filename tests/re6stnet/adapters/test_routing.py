"""babeld's tables in the engine's words: a fake babeld on a real socket, read by the real client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from babel_ctl.client import BabelClient
from babel_ctl.testing import FakeBabeld
from re6st_core.prefix import Prefix
from re6stnet.adapters.routing import BabelRouting, link_local
from re6stnet.engine.messages import Event, NeighbourChanged, Originates, RouteChange, RoutesChanged
from tests.helpers.node_certificates import NETWORK
from tests.helpers.node_fakes import Collected

A, B, C = Prefix(16, 1), Prefix(16, 2), Prefix(16, 3)
ONE, TWO = "1" * 32, "2" * 32
LINE_ONE, LINE_TWO = link_local(ONE, A), link_local(TWO, B)
TAP = "re6st-tcp"
INFINITY = 65535


class World:
    """A fake babeld, and what the engine is told of it."""

    def __init__(self, path: Path, recovery_s: float) -> None:
        self.path = path
        self.babeld = FakeBabeld(path)
        self.babeld.start()
        self.client = BabelClient(path)
        self.client.start()
        self.told = Collected()
        self.routing = BabelRouting(NETWORK, self.told, recovery_s=recovery_s)
        self._marks = 0
        self._news = asyncio.Event()
        self.client.add_listener(self._news.set)

    def neighbour(self, name: str, address: IPv6Address, cost: int = 96, rtt_ms: float = 20) -> None:
        self.babeld.put([
            f"neighbour 55d0{int(address) & 0xFFFF:08x} address {address} if {name} reach ffff ureach 0000 "
            f"rxcost 16 txcost 16 rtt {rtt_ms:.3f} rttcost 80 cost {cost}"
        ])  # fmt: skip

    def route(
        self, to: Prefix | str, name: str, via: IPv6Address, *, metric: int = 100, installed: bool = True,
        source: str = "::/0", refmetric: int = 5, router_id: str = "02:00:00:00:00:00:00:09",
    ) -> str:  # fmt: skip
        destination = NETWORK.subnet(to) if isinstance(to, Prefix) else to
        key = f"55d1{hash((str(destination), via)) & 0xFFFFFFFF:08x}"
        self.babeld.put([
            f"route {key} prefix {destination} from {source} installed {'yes' if installed else 'no'} "
            f"id {router_id} metric {metric} refmetric {refmetric} via {via} if {name}"
        ])  # fmt: skip
        return key

    async def until(self, connected: bool) -> None:
        """Wait for a state of the client, and until the follower has seen it."""
        async with asyncio.timeout(5):
            while self.client.state.connected != connected:
                self._news.clear()
                await self._news.wait()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def nothing_more(self) -> list[Event]:
        """All events so far; a neighbour of another tunnel marks the end of what babeld has said."""
        self._marks += 1
        mark, address = f"{self._marks:032x}", IPv6Address(f"fe80::f{self._marks:x}")
        self.routing.bind(mark, "mark", address)
        self.neighbour("mark", address)
        seen = []
        while (event := await self.told.next()) != NeighbourChanged(mark, True, 20000):
            seen.append(event)
        self.routing.unbind(mark)
        return seen + self.told.waiting()  # of one delta, routes are told after neighbours


@contextlib.asynccontextmanager
async def world(path: Path, recovery_s: float = 60.0) -> AsyncIterator[World]:
    made = World(path / "babeld.sock", recovery_s)
    following = asyncio.create_task(made.routing.follow(made.client))
    try:
        await made.until(True)
        yield made
        assert not following.done()
    finally:
        following.cancel()
        await asyncio.wait([following])
        made.client.close()
        made.babeld.stop()


def routes(*changes: RouteChange) -> RoutesChanged:
    return RoutesChanged(changes)


async def test_a_neighbour_is_heard_and_its_delay_known(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.routing.bind(ONE, "re6st1", LINE_ONE)
        w.neighbour("re6st1", LINE_ONE, rtt_ms=12.5)
        assert await w.told.next() == NeighbourChanged(ONE, True, 12500)
        w.neighbour("re6st1", LINE_ONE, rtt_ms=30)
        assert await w.told.next() == NeighbourChanged(ONE, True, 30000)


async def test_a_neighbour_that_babeld_heard_before_we_knew_whose_it_is(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.neighbour("re6st1", LINE_ONE)
        w.route(A, "re6st1", LINE_ONE)
        assert await w.nothing_more() == []
        w.routing.bind(ONE, "re6st1", LINE_ONE)
        assert await w.told.next() == NeighbourChanged(ONE, True, 20000)
        assert await w.told.next() == routes(RouteChange(A, ONE, 100, True, 5))


@pytest.mark.parametrize("how", ["infinite cost", "flushed"])
async def test_a_neighbour_is_lost_once(tmp_path: Path, how: str) -> None:
    async with world(tmp_path) as w:
        w.routing.bind(ONE, "re6st1", LINE_ONE)
        w.neighbour("re6st1", LINE_ONE)
        assert await w.told.next() == NeighbourChanged(ONE, True, 20000)
        if how == "infinite cost":
            w.neighbour("re6st1", LINE_ONE, cost=INFINITY)
        else:
            w.babeld.flush("neighbour", f"55d0{int(LINE_ONE) & 0xFFFF:08x}")
        assert await w.told.next() == NeighbourChanged(ONE, False)
        w.neighbour("re6st1", LINE_ONE, cost=INFINITY)
        assert await w.nothing_more() == []


async def test_what_babeld_keeps_of_a_neighbour_from_before_a_flush_is_not_its_loss(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.routing.bind(ONE, "re6st1", LINE_ONE)
        w.neighbour("re6st1", LINE_ONE)
        assert await w.told.next() == NeighbourChanged(ONE, True, 20000)
        old = f"neighbour 99999 address {LINE_ONE} if re6st1 reach 0{{}} ureach 0000 rxcost 65535 txcost 16"
        for reach in ("fff", "00f"):
            w.babeld.put([f"{old.format(reach)} rtt 20.000 rttcost 80 cost {INFINITY}"])
        assert await w.nothing_more() == []
        w.babeld.flush("neighbour", "99999")
        assert await w.nothing_more() == []


async def test_routes_come_change_and_go(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.routing.bind(ONE, "re6st1", LINE_ONE)
        key = w.route(C, "re6st1", LINE_ONE)
        assert await w.told.next() == routes(RouteChange(C, ONE, 100, True, 5))
        w.route(C, "re6st1", LINE_ONE, metric=150)
        assert await w.told.next() == routes(RouteChange(C, ONE, 150, True, 5))
        w.route(C, "re6st1", LINE_ONE, metric=INFINITY, installed=False)
        assert await w.told.next() == routes(RouteChange(C, ONE, None))
        assert w.routing.routes == {}
        w.babeld.flush("route", key)
        assert await w.nothing_more() == []


async def test_what_replaces_comes_after_what_is_replaced(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.routing.bind(ONE, "re6st1", LINE_ONE)
        w.routing.bind(TWO, "re6st2", LINE_TWO)
        w.route(C, "re6st1", LINE_ONE)
        w.route(C, "re6st2", LINE_TWO, installed=False)
        await w.nothing_more()
        w.route(C, "re6st2", LINE_TWO, installed=True)
        w.route(C, "re6st1", LINE_ONE, installed=False)
        events = await w.nothing_more()
        changes = [c for event in events if isinstance(event, RoutesChanged) for c in event.changes]
        if len(events) == 1:  # babeld's lines arrived together
            assert changes == [RouteChange(C, ONE, 100, False, 5), RouteChange(C, TWO, 100, True, 5)]
        assert {c.tunnel: c.installed for c in changes} == {ONE: False, TWO: True}


async def test_clients_of_the_tcp_server_are_told_apart_by_their_address(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.routing.bind(ONE, TAP, LINE_ONE)
        w.routing.bind(TWO, TAP, LINE_TWO)
        w.neighbour(TAP, LINE_TWO, rtt_ms=2)
        assert await w.told.next() == NeighbourChanged(TWO, True, 2000)
        w.neighbour(TAP, LINE_ONE, rtt_ms=1)
        assert await w.told.next() == NeighbourChanged(ONE, True, 1000)
        w.route(B, TAP, LINE_TWO)
        assert await w.told.next() == routes(RouteChange(B, TWO, 100, True, 5))
        w.babeld.flush("neighbour", f"55d0{int(LINE_TWO) & 0xFFFF:08x}")
        assert await w.told.next() == NeighbourChanged(TWO, False)
        assert await w.nothing_more() == []


async def test_a_stranger_on_the_tcp_server_is_nobody(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.routing.bind(ONE, TAP, LINE_ONE)
        w.neighbour(TAP, IPv6Address("fe80::bad"))
        w.route(C, TAP, IPv6Address("fe80::bad"))
        assert await w.nothing_more() == []


async def test_the_same_peer_may_have_a_new_tunnel(tmp_path: Path) -> None:
    assert link_local(ONE, A) != link_local(TWO, A) != link_local(TWO, B)
    assert link_local(ONE, A) == link_local(ONE, A)
    assert link_local(ONE, A).is_link_local


async def test_a_tunnel_that_is_unbound_takes_its_routes_along(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        for tunnel, name, address in ((ONE, "re6st1", LINE_ONE), (TWO, "re6st2", LINE_TWO)):
            w.routing.bind(tunnel, name, address)
            w.neighbour(name, address)
            w.route(C, name, address, installed=tunnel == ONE)
        await w.nothing_more()
        w.routing.unbind(ONE)
        w.routing.unbind(ONE)
        assert await w.told.next() == routes(RouteChange(C, ONE, None))
        assert list(w.routing.routes) == [(C, TWO)]
        w.route(C, "re6st1", LINE_ONE, metric=7)
        w.neighbour("re6st1", LINE_ONE, cost=INFINITY)
        assert await w.nothing_more() == []


@pytest.mark.parametrize(
    ("destination", "source"),
    [
        ("::/0", "::/0"),
        ("2001:db8:99::/64", "::/0"),
        ("192.0.2.0/24", "0.0.0.0/0"),
        (str(NETWORK), "::/0"),
        (str(NETWORK.subnet(C)), "2001:db8:77::/48"),
    ],
)
async def test_foreign_prefixes_and_default_routes_are_not_the_engines_business(
    tmp_path: Path, destination: str, source: str
) -> None:
    async with world(tmp_path) as w:
        w.routing.bind(ONE, "re6st1", LINE_ONE)
        w.route(destination, "re6st1", LINE_ONE, source=source)
        assert await w.nothing_more() == []
        assert w.routing.routes == {}


THEIRS, ANOTHER = "02:00:00:00:00:00:00:0a", "02:00:00:00:00:00:00:0b"


async def test_what_a_neighbour_announces_as_its_own_is_told_once(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.routing.bind(ONE, "t1", LINE_ONE)
        for metric in (100, 101, 102):
            w.route(A, "t1", LINE_ONE, refmetric=0, metric=metric, router_id=THEIRS)
        w.route(B, "t1", LINE_ONE, refmetric=16, router_id=ANOTHER)
        w.route(C, "t1", LINE_ONE, refmetric=INFINITY, metric=INFINITY, router_id=THEIRS)
        w.route(str(NETWORK.cidr), "t1", LINE_ONE, refmetric=0, router_id=THEIRS)
        w.route("::/0", "t1", LINE_ONE, refmetric=0, router_id=THEIRS)
        told = [event for event in await w.nothing_more() if isinstance(event, Originates)]
    assert told == [Originates(ONE, A), Originates(ONE, Prefix(0, 0))]


async def test_its_router_id_gives_it_away_whatever_the_metric(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.routing.bind(ONE, "t1", LINE_ONE)
        w.routing.bind(TWO, "t2", LINE_TWO)
        w.route(A, "t1", LINE_ONE, refmetric=0, router_id=THEIRS)
        w.route(B, "t1", LINE_ONE, refmetric=16, router_id=THEIRS)
        w.route(C, "t2", LINE_TWO, refmetric=16, router_id=THEIRS)
        told = [event for event in await w.nothing_more() if isinstance(event, Originates)]
    assert told == [Originates(ONE, A), Originates(ONE, B)], "another neighbour may say anything of it"


async def test_while_babeld_is_away_nothing_is_lost(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        w.routing.bind(ONE, "re6st1", LINE_ONE)
        w.neighbour("re6st1", LINE_ONE)
        w.route(A, "re6st1", LINE_ONE)
        await w.nothing_more()
        w.babeld.stop()
        await w.until(False)
        assert list(w.routing.routes) == [(A, ONE)]
        w.babeld = FakeBabeld(w.path)
        w.babeld.start()
        await w.until(True)
        w.neighbour("re6st1", LINE_ONE, cost=INFINITY)  # before its first two hellos
        assert await w.nothing_more() == []
        w.neighbour("re6st1", LINE_ONE)
        assert await w.told.next() == NeighbourChanged(ONE, True, 20000)
        assert list(w.routing.routes) == [(A, ONE)]


async def test_after_its_recovery_what_is_really_gone_is_lost(tmp_path: Path) -> None:
    async with world(tmp_path, recovery_s=0.2) as w:
        for tunnel, name, address in ((ONE, "re6st1", LINE_ONE), (TWO, "re6st2", LINE_TWO)):
            w.routing.bind(tunnel, name, address)
            w.neighbour(name, address)
            w.route(C, name, address, installed=tunnel == TWO)
        await w.nothing_more()
        w.babeld.stop(unclean=True)
        await w.until(False)
        w.path.unlink()
        w.babeld = FakeBabeld(w.path)
        w.neighbour("re6st1", LINE_ONE, rtt_ms=1)
        w.route(C, "re6st1", LINE_ONE)
        w.babeld.start()
        events = [await w.told.next() for _ in range(4)]
        for event in (
            NeighbourChanged(ONE, True, 1000),
            routes(RouteChange(C, ONE, 100, True, 5)),
            NeighbourChanged(TWO, False),
            routes(RouteChange(C, TWO, None)),
        ):
            assert event in events
        assert list(w.routing.routes) == [(C, ONE)]


async def test_a_babeld_that_stays_away_long_loses_nobody(tmp_path: Path) -> None:
    async with world(tmp_path, recovery_s=0.01) as w:
        w.routing.bind(ONE, "re6st1", LINE_ONE)
        w.neighbour("re6st1", LINE_ONE)
        await w.nothing_more()
        w.babeld.stop()
        await w.until(False)
        for _ in range(5):
            w.routing._recovered()  # the time came, several times
        assert w.told.waiting() == []
