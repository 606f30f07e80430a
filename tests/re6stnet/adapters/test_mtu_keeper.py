"""Devices get the MTU that their paths take, at once and later."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import cast

import pytest

from re6st_core.errors import PeerError
from re6st_core.peer_wire import MIN_MTU
from re6stnet.adapters.mtu_keeper import MtuKeeper
from re6stnet.adapters.netlink import Kernel, Link
from re6stnet.adapters.path_mtu import PathProbe
from re6stnet.engine.messages import Broken
from tests.helpers.node_fakes import Collected

N, DEVICE, PEER = "ab" * 16, "re6stabababab", IPv6Address("fe80::2")


@dataclass
class Path:
    """A path and the device at its end; ``mtu`` None: it is silent."""

    mtu: int | None = 1420
    device: int | None = 1420
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def set_mtu(self, _device: str, mtu: int) -> None:
        self.device = mtu
        self.changed.set()

    async def links(self, device: str) -> list[Link]:
        return [] if self.device is None else [Link(1, device, self.device, True)]

    async def find(self, most: int) -> int | None:
        if self.mtu is None:
            raise PeerError("no answer")
        return None if self.mtu < MIN_MTU else min(most, self.mtu)

    async def still(self, size: int) -> bool:
        return self.mtu is None or size <= self.mtu

    async def until(self, mtu: int) -> None:
        async with asyncio.timeout(5):
            while self.device != mtu:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
async def path() -> Path:
    return Path()


@pytest.fixture
async def told() -> Collected:
    return Collected()


@pytest.fixture
async def keeper(path: Path, told: Collected) -> AsyncIterator[MtuKeeper]:
    keeper = MtuKeeper(
        cast(Kernel, path),
        told,
        rng=random.Random(1),
        probe=lambda _device, _peer: cast(PathProbe, path),
        check_s=0.001,
    )
    yield keeper
    keeper.forget(N)


async def test_a_device_gets_what_its_path_takes(keeper: MtuKeeper, path: Path) -> None:
    path.mtu = 1336
    await keeper.settle(N, DEVICE, PEER, 1420)
    assert path.device == 1336


async def test_a_path_that_becomes_narrower_is_followed(keeper: MtuKeeper, path: Path) -> None:
    await keeper.settle(N, DEVICE, PEER, 1420)
    path.mtu = 1304
    await path.until(1304)


@pytest.mark.parametrize("later", [False, True])
async def test_a_path_too_narrow_for_ipv6_breaks_the_tunnel(
    keeper: MtuKeeper, path: Path, told: Collected, later: bool
) -> None:
    path.mtu = 1420 if later else 1200
    await keeper.settle(N, DEVICE, PEER, 1420)
    path.mtu = 1200
    event = await told.next()
    assert isinstance(event, Broken)
    assert event.narrow


async def test_a_silent_peer_gets_small_packets_until_it_answers(keeper: MtuKeeper, path: Path) -> None:
    path.mtu = None
    await keeper.settle(N, DEVICE, PEER, 1420)
    assert path.device == MIN_MTU
    path.mtu = 1400
    await path.until(1400)


async def test_an_adopted_device_is_looked_after_and_one_that_is_gone_is_not(
    keeper: MtuKeeper, path: Path
) -> None:
    keeper.watch(N, DEVICE, PEER)
    path.mtu = 1290
    await path.until(1290)
    path.device = None
    async with asyncio.timeout(5):
        await keeper._watches[N]
