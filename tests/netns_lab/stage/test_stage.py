"""The stage: waiting for conditions explains itself, and a flow knows the way it takes."""

import dataclasses
import io
from ipaddress import IPv6Address

import pytest
from rich.console import Console

from netns_lab.lab import Lab
from netns_lab.stage.conditions import Condition, Scene, relayed
from netns_lab.stage.stage import Stage
from netns_lab.stage.story import Story
from netns_lab.topology import Topology
from re6st_core.errors import RouterError

pytestmark = pytest.mark.root


@pytest.fixture
def small(small: Topology) -> Topology:
    """Its registry is never started."""
    return dataclasses.replace(small, registry="h2")


class AfterLooks(Condition):
    """Holds when it was looked at often enough."""

    def __init__(self, looks: int) -> None:
        self._left = looks

    def __str__(self) -> str:
        return "looked at"

    async def missing(self, scene: Scene) -> list[str]:
        self._left -= 1
        return ["another look"] if self._left > 0 else []


def new_stage(lab: Lab) -> Stage:
    return Stage(lab, Story("test", Console(file=io.StringIO())))


async def test_waiting_ends_as_soon_as_it_holds_and_says_what_was_missing(small: Topology) -> None:
    with Lab(small) as lab, new_stage(lab) as stage:
        assert 0 < await stage.wait_for(AfterLooks(3), within_s=10) < 10
        with pytest.raises(RouterError, match=r"looked at: not within 0\.3 s: another look"):
            await stage.wait_for(AfterLooks(1000), within_s=0.3)
        assert await stage.time_until(AfterLooks(1000), within_s=0.3) is None
        assert await stage.missing(AfterLooks(1)) == []
        stage.figure("missed", 2, at_most=1)
        assert stage.story.missed == ("missed",)


async def test_the_first_failure_of_several_things_at_once_is_told(small: Topology) -> None:
    async def fails() -> None:
        raise RouterError("b cannot join")

    with Lab(small) as lab, new_stage(lab) as stage, pytest.raises(RouterError, match="b cannot join"):
        await stage.together([fails()])


async def test_a_flow_over_a_relay_knows_its_way(small: Topology) -> None:
    """a and b know each other only by way of h1 and h2's neighbour c, which forwards."""
    addresses = {name: IPv6Address(f"2001:db8:1::{name}") for name in "abc"}
    with Lab(small) as lab, new_stage(lab) as stage:
        stage.mesh.addresses |= addresses
        for name in "abc":
            lab.machines[name].ip([f"addr add {addresses[name]}/128 dev lo"])
            lab.machines[name].sysctl({"net.ipv6.icmp.ratelimit": 0})
            lab.machines[name].ip([f"addr add fe80::{name} dev net0 nodad"])
        lab.machines["a"].ip(["route add 2001:db8:1::/64 via fe80::c dev net0"])
        lab.machines["b"].ip(["route add 2001:db8:1::/64 via fe80::c dev net0"])
        lab.machines["c"].ip([f"route add {addresses[n]} via fe80::{n} dev net0" for n in "ab"])
        flow = stage.flow("a", "b")
        await stage.wait_for(relayed("a", "b", by=1), within_s=10)
        assert await stage.relay("a", "b") == "c"
        since_s = stage.now()
        assert 0.03 < (await stage.first_answer(flow, since_s, within_s=10) or 0) < 5
        assert await stage.first_answer(flow, since_s + 1000, within_s=0.1) is None
        await stage.settled()
        assert flow.track.now == ("a", "c", "b")
        assert flow.packets.median_ms() == pytest.approx(40, abs=8)  # 15 ms and 5 ms, both ways
        stage.mesh.addresses["h1"] = IPv6Address("2001:db8:2::1")
        with pytest.raises(RouterError, match=r"a does not reach h1 by one relay .* there is no whole way"):
            await stage.relay("a", "h1", within_s=1.5)
        lab.machines["a"].ip([f"route add {addresses['b']}/128 via fe80::b dev net0"])
        with pytest.raises(RouterError, match="the way is a b"):
            await stage.relay("a", "b", within_s=1.5)
