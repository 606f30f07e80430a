"""A new tunnel is known to carry packets when the peer's kernel has answered, and not before."""

import asyncio
from collections.abc import Iterator
from ipaddress import IPv6Address

import pytest

from re6st_core.errors import RouterError
from re6stnet.adapters.first_answer import first_answer
from tests.helpers.namespace_tests import TestNamespace, connect, namespaces

pytestmark = pytest.mark.root

PEER = IPv6Address("fe80::2")


@pytest.fixture
def ends() -> Iterator[list[TestNamespace]]:
    """Two machines; only the left one has its link-local address yet."""
    with namespaces(2) as made:
        connect(*made)
        made[0].run("ip addr add fe80::1/64 dev wire nodad")
        yield made


async def test_it_returns_once_the_peer_has_its_address(ends: list[TestNamespace]) -> None:
    left, right = ends
    with left.entered():
        waiting = asyncio.create_task(first_answer("wire", PEER))
        await asyncio.sleep(0)  # it has made its socket, here
    ended, _ = await asyncio.wait([waiting], timeout=0.3)
    assert not ended, "nobody can have answered"
    right.run(f"ip addr add {PEER}/64 dev wire nodad")
    await asyncio.wait_for(waiting, 10)


async def test_another_address_of_the_peer_is_not_an_answer(ends: list[TestNamespace]) -> None:
    left, right = ends
    right.run("ip addr add fe80::3/64 dev wire nodad")
    with left.entered():
        waiting = asyncio.create_task(first_answer("wire", PEER))
        await asyncio.sleep(0)
    assert "64 bytes from fe80::3" in left.run("ping -c 1 -W 5 fe80::3%wire")
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])


async def test_a_device_that_does_not_exist_is_one_error() -> None:
    with pytest.raises(RouterError, match="re6stnone: "):
        await first_answer("re6stnone", PEER)


async def test_a_device_that_goes_away_is_one_error(ends: list[TestNamespace]) -> None:
    left, _ = ends
    with left.entered():
        waiting = asyncio.create_task(first_answer("wire", PEER))
        await asyncio.sleep(0)
    left.run("ip link del wire")
    with pytest.raises(RouterError, match="wire: "):
        await asyncio.wait_for(waiting, 10)
