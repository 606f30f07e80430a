"""When leftovers may go: the clock of a babeld that has heard nobody yet does not run."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

from babel_ctl.client import BabelClient
from babel_ctl.errors import RouterError
from babel_ctl.kernel import ANYWHERE, LEFTOVER_METRIC, UNICAST, KernelRoute, KernelRoutes
from babel_ctl.settling import MAX_HELLOS, Settler
from babel_ctl.testing import FakeBabeld, route_lines

HELLO_S = 0.02
NETWORK = IPv6Network("2001:db8::/32")
GONE = IPv6Network("2001:db8:0:ffff::/64")


class Kernel(KernelRoutes):
    """A kernel without routes, which refuses as often as told."""

    def __init__(self, refusals: int = 0) -> None:
        super().__init__(NETWORK, NETWORK[1])
        self.refusals = refusals
        self.deleted: list[KernelRoute] = []

    async def routes(self) -> list[KernelRoute]:
        if self.refusals:
            self.refusals -= 1
            raise RouterError("netlink: no memory")
        return []

    async def delete(self, routes: object) -> None:
        assert isinstance(routes, list)
        self.deleted += routes

    async def repair(self, differences: object) -> None:
        pass


def leftover(prefix: IPv6Network) -> KernelRoute:
    return KernelRoute(prefix, ANYWHERE, LEFTOVER_METRIC, IPv6Address("fe80::1"), 1, None, 254, UNICAST)


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeBabeld]:
    fake = FakeBabeld(tmp_path / "babeld.sock")
    fake.start()
    yield fake
    fake.stop()


async def settled_after_s(fake: FakeBabeld, kernel: Kernel) -> float:
    client = await BabelClient.connect(fake.path)
    loop = asyncio.get_running_loop()
    start = loop.time()
    settler = Settler(kernel, client, hello_interval_s=HELLO_S, on_repair=lambda text: None)
    await settler.settle([leftover(GONE)])
    client.close()
    assert kernel.deleted == [leftover(GONE)]
    return loop.time() - start


async def test_without_any_route_the_leftovers_stay_to_the_last(fake: FakeBabeld) -> None:
    fake.put(["interface t0 up false"])
    assert await settled_after_s(fake, Kernel()) >= MAX_HELLOS * HELLO_S


async def test_with_a_route_what_is_still_missing_goes_after_a_silence(fake: FakeBabeld) -> None:
    fake.put(route_lines(1, neighbours=1))
    assert await settled_after_s(fake, Kernel()) < MAX_HELLOS * HELLO_S


async def test_a_kernel_that_refuses_is_asked_again(
    fake: FakeBabeld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("babel_ctl.settling.RETRY_S", 0.01)
    fake.put(route_lines(1, neighbours=1))
    await settled_after_s(fake, Kernel(refusals=2))
    assert caplog.text.count("kernel routes: netlink: no memory") == 2
