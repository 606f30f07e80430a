"""What is held in the kernel beside babeld's routes, and for how long."""

import asyncio
from collections.abc import Mapping
from ipaddress import IPv6Address, IPv6Network
from typing import cast

import pytest

from babel_ctl.errors import RouterError
from babel_ctl.holding import INFINITY, RouteHolder
from babel_ctl.kernel import ANYWHERE, KernelRoutes, NextHop
from babel_ctl.messages import Route

D = IPv6Network("2001:db8:42:1::/64")
B, C = (IPv6Address(f"fe80::{i}") for i in (1, 2))


class FakeKernel:
    def __init__(self) -> None:
        self.held: dict[IPv6Network, NextHop] = {}
        self.calls = 0
        self.fail = False
        self.changed = asyncio.Event()

    def hold(self, routes: Mapping[IPv6Network, NextHop]) -> None:
        if self.fail:
            raise RouterError("netlink: no memory")
        self.calls += bool(routes)
        self.held.update(routes)

    def let_go(self, prefix: IPv6Network, hop: NextHop) -> None:
        assert self.held.pop(prefix) == hop
        self.changed.set()


def route(via: IPv6Address, *, installed: bool = True, metric: int = 96) -> Route:
    return Route(int(via) & 0xFF, D, ANYWHERE, installed, "", metric, 0, via, f"to{via.packed[-1]}")


@pytest.fixture
async def kernel() -> FakeKernel:
    return FakeKernel()


@pytest.fixture
async def holder(kernel: FakeKernel) -> RouteHolder:
    return RouteHolder(cast(KernelRoutes, kernel), hold_s=0.01)


async def test_the_way_in_use_is_held_and_a_new_metric_costs_nothing(
    holder: RouteHolder, kernel: FakeKernel
) -> None:
    holder.follow([route(B), route(C, installed=False)], [])
    holder.follow([route(B, metric=100)], [])
    assert kernel.held == {D: (B, "to1")}
    assert kernel.calls == 1


@pytest.mark.parametrize("how", ["removed", "retracted", "not installed"])
async def test_what_is_lost_is_held_a_moment_longer(
    holder: RouteHolder, kernel: FakeKernel, how: str
) -> None:
    holder.follow([route(B)], [])
    if how == "removed":
        holder.follow([], [route(B)])
    elif how == "retracted":
        holder.follow([route(B, metric=INFINITY)], [])
    else:
        holder.follow([route(B, installed=False)], [])
    assert kernel.held == {D: (B, "to1")}
    async with asyncio.timeout(5):
        await kernel.changed.wait()
    assert kernel.held == {}
    assert len(holder) == 0


async def test_a_babeld_that_is_away_or_has_not_converged_takes_nothing_away(kernel: FakeKernel) -> None:
    settled = False
    holder = RouteHolder(cast(KernelRoutes, kernel), hold_s=0.01, settled=lambda: settled)
    holder.follow([route(B)], [])
    holder.follow([], [route(B)])
    first = holder._ends[D]
    async with asyncio.timeout(5):
        while holder._ends[D] is first:  # noqa: ASYNC110 - a timer of the loop is waited for
            await asyncio.sleep(0)
    assert kernel.held == {D: (B, "to1")}
    settled = True
    async with asyncio.timeout(5):
        await kernel.changed.wait()
    assert kernel.held == {}


async def test_another_way_is_held_in_its_place(holder: RouteHolder, kernel: FakeKernel) -> None:
    holder.follow([route(B)], [])
    holder.follow([route(C)], [route(B)])
    assert kernel.held == {D: (C, "to2")}
    assert not holder._ends


async def test_what_comes_back_is_held_on(holder: RouteHolder, kernel: FakeKernel) -> None:
    holder.follow([route(B)], [])
    holder.follow([], [route(B)])
    holder.follow([route(C)], [])
    assert not holder._ends
    assert kernel.held == {D: (C, "to2")}


async def test_leftovers_that_somebody_removed_are_put_back(holder: RouteHolder, kernel: FakeKernel) -> None:
    holder.follow([route(B)], [])
    kernel.held.clear()
    holder.hold_again()
    assert kernel.held == {D: (B, "to1")}


async def test_a_kernel_that_refuses_does_no_harm(
    holder: RouteHolder, kernel: FakeKernel, caplog: pytest.LogCaptureFixture
) -> None:
    kernel.fail = True
    holder.follow([route(B)], [])
    assert "no memory" in caplog.text
    holder.close()
    assert len(holder) == 0
