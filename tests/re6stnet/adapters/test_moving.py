"""Changes of this host's addresses are noticed, once each, whatever else netlink tells."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest

from re6st_core.address import IPAddress
from re6st_core.errors import RouterError
from re6stnet.adapters.moving import follow_addresses, follow_peers
from re6stnet.adapters.netlink import Kernel
from tests.helpers.namespace_tests import namespaces

HERE, THERE = ip_address("192.0.2.1"), ip_address("198.51.100.1")


@dataclass
class Host:
    """A host whose addresses the test sets."""

    addresses: set[IPAddress] = field(default_factory=lambda: {HERE})
    told: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    moves: asyncio.Queue[set[IPAddress]] = field(default_factory=asyncio.Queue)
    asked: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    fail: int = 0

    async def now(self) -> set[IPAddress]:
        self.asked.put_nowait(None)
        return set(self.addresses)

    async def moved(self) -> None:
        self.moves.put_nowait(set(self.addresses))

    @contextlib.contextmanager
    def events(self) -> Iterator[Callable[[], Awaitable[None]]]:
        if self.fail:
            self.fail -= 1
            raise RouterError("too many open files")
        yield self.told.get


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    host = Host()
    work = asyncio.create_task(follow_addresses(host.events, host.now, host.moved, settle_s=0))
    await host.asked.get()
    yield host
    work.cancel()
    await asyncio.wait([work])


async def test_other_addresses_are_a_move(host: Host) -> None:
    host.addresses = {THERE}
    host.told.put_nowait(None)
    async with asyncio.timeout(5):
        assert await host.moves.get() == {THERE}


async def test_news_that_change_nothing_and_the_loss_of_all_are_none(host: Host) -> None:
    for addresses in ({HERE}, set[IPAddress](), {HERE}):
        host.addresses = addresses
        host.told.put_nowait(None)
        async with asyncio.timeout(5):
            await host.asked.get()
    assert host.moves.empty()


async def test_peers_are_looked_at_again_and_again() -> None:
    looked: asyncio.Queue[None] = asyncio.Queue()

    async def look() -> None:
        looked.put_nowait(None)

    work = asyncio.create_task(follow_peers(look, every_s=0.001))
    async with asyncio.timeout(5):
        for _ in range(3):
            await looked.get()
    work.cancel()


@pytest.mark.root
async def test_the_kernel_tells_of_a_new_address() -> None:
    with namespaces(1) as [node], node.entered():
        kernel = await Kernel.open()
        with kernel.address_events() as changed:
            node.run("ip addr add 192.0.2.1/32 dev lo")
            async with asyncio.timeout(5):
                await changed()
        await kernel.close()
