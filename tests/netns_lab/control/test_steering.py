"""What a request does to the lab; a wrong one does nothing, and says all that is wrong."""

import dataclasses
from pathlib import Path
from typing import Any, cast

import pytest

from netns_lab.cleanup import LabRecord
from netns_lab.control.requests import Cut, Heal, Info, Revive, SetLink, Silence, Start, Stop
from netns_lab.control.steering import Steering
from netns_lab.internet.link import Internet, Link
from netns_lab.lab import Lab
from netns_lab.mesh import Mesh
from netns_lab.namespace import Machine
from netns_lab.topology import Topology
from re6st_core.errors import ConfigError


class Recorded:
    """An Internet that notes what it is told."""

    kind = "switch"
    alive = True

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.told.append((name, *arguments))


class Daemons:
    """A mesh that starts and stops nothing but numbers."""

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {"a": "2001:db8:42::1"}
        self.pids: dict[str, int] = {"a": 7}

    def daemon_pid(self, node: str) -> int | None:
        return self.pids.get(node)

    def start(self, node: str) -> None:
        self.pids[node] = 8

    async def run_registry(self) -> None:
        self.pids["b"] = 9

    async def stop(self, node: str, number: int) -> int:
        del self.pids[node]
        return -number


@pytest.fixture
def internet() -> Recorded:
    return Recorded()


@pytest.fixture
def steering(small: Topology, internet: Recorded) -> Steering:
    lab = Lab(dataclasses.replace(small, registry="b"))  # never built
    lab.internet = cast("Internet", internet)
    lab.record = LabRecord("abc123", "small", 1, 1, directory=None, keep=False)
    lab.directory = Path("/tmp/x")
    lab.machines["home-box"] = cast("Machine", internet)
    return Steering(lab, cast("Mesh", Daemons()))


async def test_cuts_and_silence_reach_the_ports_of_sites_and_nodes(
    steering: Steering, internet: Recorded
) -> None:
    for request in (Cut("a", "h1"), Heal("home", "b"), Silence("c"), Revive("c")):
        assert await steering.handle(request) == {}
    assert internet.told == [("cut", 0, 3), ("heal", 3, 1), ("silence", 2), ("revive", 2)]


async def test_one_of_several_nodes_of_a_site_falls_silent_alone(
    steering: Steering, internet: Recorded
) -> None:
    await steering.handle(Silence("h2"))
    ((done, rules),) = internet.told
    assert done == "nft"
    assert "lan1" in rules
    assert "lan0" not in rules
    await steering.handle(Silence("home"))
    assert internet.told[1:] == [("silence", 3)]


async def test_no_path_leads_to_a_site_that_is_offline(
    steering: Steering, internet: Recorded, small: Topology
) -> None:
    offline = dataclasses.replace(small.sites[2], offline=True)
    away = dataclasses.replace(small, sites=(*small.sites[:2], offline, small.sites[3]))
    lab = Lab(away)
    lab.internet = cast("Internet", internet)
    for request in (Cut("a", "c"), SetLink("c", "b", loss=0.5)):
        with pytest.raises(ConfigError, match="c is offline"):
            await Steering(lab, None).handle(request)
    assert internet.told == []


async def test_a_link_keeps_what_is_not_said_also_the_second_time(
    steering: Steering, internet: Recorded
) -> None:
    await steering.handle(SetLink("a", "b", rtt_ms=50))
    told = await steering.handle(SetLink("a", "b", loss=0.25, one_way=True))
    assert internet.told == [
        ("set_link", 0, 1, Link(delay_ms=25)),
        ("set_link", 1, 0, Link(delay_ms=25)),
        ("set_link", 0, 1, Link(delay_ms=25, loss=0.25)),
    ]
    assert told["loss"] == 0.25


@pytest.mark.parametrize(
    ("request_", "mistakes"),
    [
        (Cut("a", "x"), 1),
        (Cut("x", "y"), 2),
        (Cut("h1", "h2"), 1),
        (Silence("x"), 1),
        (SetLink("a", "b", loss=2, mtu=1), 2),
        (Start("a"), 1),
        (Start("x"), 1),
        (Stop("b"), 1),
    ],
)
async def test_what_makes_no_sense_changes_nothing(
    steering: Steering, internet: Recorded, request_: Any, mistakes: int
) -> None:
    with pytest.raises(ConfigError) as caught:
        await steering.handle(request_)
    assert len(caught.value.problems) == mistakes
    assert internet.told == []


async def test_daemons_stop_and_start(steering: Steering) -> None:
    assert await steering.handle(Stop("a", kill=True)) == {"exit_status": -9}
    assert await steering.handle(Start("a")) == {"pid": 8}
    assert await steering.handle(Start("b")) == {"pid": 9}, "the registry is not a node"


async def test_a_lab_without_programs_says_so(small: Topology) -> None:
    with pytest.raises(ConfigError, match="--bare"):
        await Steering(Lab(small), None).handle(Start("a"))


async def test_info_tells_labels_addresses_and_processes(steering: Steering) -> None:
    told = await steering.handle(Info())
    assert told["label"] == "small"
    assert told["nodes"]["a"] == {
        "site": "a",
        "nat": None,
        "underlay": ["203.0.113.1"],
        "overlay": "2001:db8:42::1",
        "pid": 7,
    }
    assert told["nodes"]["h2"]["underlay"] == ["192.168.1.11"]
    assert told["nodes"]["h2"]["pid"] is None
