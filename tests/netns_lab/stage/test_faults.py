"""What a scenario breaks is broken, and mended when it is mended; all of it is told."""

import asyncio
import io
import signal
from ipaddress import IPv4Address
from typing import Any

import pytest
from rich.console import Console

from netns_lab.cleanup import processes_inside
from netns_lab.echo import Prober
from netns_lab.lab import Lab
from netns_lab.mesh import Mesh
from netns_lab.stage.faults import Faults
from netns_lab.stage.story import Story
from netns_lab.topology import Topology
from tests.helpers.lab_traffic import NOTHING_WITHIN_S, udp_source

pytestmark = pytest.mark.root


class Running(Mesh):
    """A mesh whose daemons are ``sleep``."""

    def daemon_command(self, node: str) -> list[str]:
        return ["sleep", "1000"]


def faults(lab: Lab, mesh: Mesh) -> Faults:
    return Faults(lab, mesh, Story("test", Console(file=io.StringIO())), registry="c")


async def answering(lab: Lab, *pairs: tuple[str, str]) -> set[tuple[str, str]]:
    """Which of these pairs answer on the underlay; ARP asks again after a second."""
    targets = {(a, b): address for a, b in pairs if (address := lab.topology.address_of(b))}
    async with Prober(lab.machines, targets) as prober:
        missing = await prober.until_all_answer(interval_s=0.05, within_s=1.5, on_answer=lambda *_: None)
    return set(pairs) - missing


async def test_a_silent_node_does_not_live_and_its_paths_are_dead(small: Topology) -> None:
    with Lab(small) as lab, Running(lab, registry="h1", client_count=1) as mesh:
        world = faults(lab, mesh)
        for node in ("a", "b", "c"):
            world.start_daemon(node)
        assert world.living == ["a", "b", "c"]
        world.silence("a")
        assert world.living == ["b", "c"]
        assert await answering(lab, ("a", "b"), ("a", "c"), ("b", "c")) == {("b", "c")}
        world.silence("b")
        world.revive("a")  # b stays silent
        assert await answering(lab, ("a", "b"), ("a", "c"), ("b", "c")) == {("a", "c")}
        world.revive("b")
        assert len(await answering(lab, ("a", "b"), ("a", "c"), ("b", "c"))) == 3
        assert world.living == ["a", "b", "c"]


async def test_groups_are_cut_and_united_and_paths_flap(small: Topology) -> None:
    pairs = (("a", "b"), ("a", "c"), ("b", "c"))
    with Lab(small) as lab, Running(lab, registry="h1", client_count=1) as mesh:
        world = faults(lab, mesh)
        world.partition(["a"], ["b", "c"])
        assert await answering(lab, *pairs) == {("b", "c")}
        world.unite(["a"], ["b", "c"])
        world.cut("a", "b")
        assert await answering(lab, *pairs) == {("a", "c"), ("b", "c")}
        world.heal("a", "b")
        await world.flap("a", "c", times=2, down_s=0.01, up_s=0.01)
        assert await answering(lab, *pairs) == set(pairs)
        texts = [event["text"] for event in events(world)]
        assert texts[:4] == ["a x b, c: cut", "a - b, c: healed", "a x b: cut", "a - b: healed"]
        assert texts[4:] == ["a x c: cut", "a - c: healed"] * 2


async def test_a_machine_without_power_has_no_process_and_no_one_minds(small: Topology) -> None:
    with Lab(small) as lab, Running(lab, registry="h1", client_count=1) as mesh:
        world = faults(lab, mesh)
        for node in ("a", "b", "c"):
            world.start_daemon(node)
        state = lab.machines["a"].directory / "state"
        (state / "peers").mkdir(parents=True)
        world.forget("a")
        world.forget("b")  # which remembers nothing
        assert not state.exists()
        child = lab.machines["a"].start(["sleep", "1000"], log=mesh.log("a"))
        await world.kill("a")
        assert child.wait() == -signal.SIGKILL
        assert not list(processes_inside({lab.machines["a"].path.stat().st_ino}))
        await world.kill_daemon("b")
        assert world.living == ["c"]
        await mesh.unless_one_dies(asyncio.sleep(0.1))
        await world.stop_daemon("c")
        assert world.story.broken == ("re6stnet of c ended with status -15",)  # sleep knows no clean end


async def test_an_address_changes(small: Topology) -> None:
    with Lab(small) as lab, Running(lab, registry="h1", client_count=1) as mesh:
        world = faults(lab, mesh)
        world.change_address("b", IPv4Address("203.0.113.77"))
        assert lab.topology.address_of("b") == IPv4Address("203.0.113.77")
        assert await answering(lab, ("a", "b")) == {("a", "b")}
        assert events(world)[0]["text"] == "b: its address is 203.0.113.77 now"


async def test_a_node_that_is_elsewhere_has_no_firewall_until_it_is_back(small: Topology) -> None:
    with Lab(small) as lab, Running(lab, registry="h1", client_count=1) as mesh:
        world = faults(lab, mesh)
        to_c = (lab, "a", "c", IPv4Address("203.0.113.3"), 4000)
        with world.elsewhere("c"):
            assert udp_source(*to_c)
        assert not udp_source(*to_c, within_s=NOTHING_WITHIN_S)
        assert len(events(world)) == 2


def events(world: Faults) -> list[dict[str, Any]]:
    """What was told."""
    told: Any = world.story.report()["events"]
    return list(told)
