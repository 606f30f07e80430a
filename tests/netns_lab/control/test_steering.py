"""What a request does to the lab; a wrong one does nothing, and says all that is wrong."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from netns_lab.control.requests import Cut, Heal, Info, Revive, SetLink, Silence, Start, Stop
from netns_lab.control.steering import Steering
from netns_lab.internet.link import Link
from netns_lab.lab import Lab
from netns_lab.mesh import Mesh
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

    def stop(self, node: str, number: int) -> int:
        del self.pids[node]
        return -number


@pytest.fixture
def internet() -> Recorded:
    return Recorded()


@pytest.fixture
def steering(small: Topology, internet: Recorded) -> Steering:
    record = SimpleNamespace(lab_id="abc123", label="small")
    lab = SimpleNamespace(topology=small, internet=internet, record=record, directory="/tmp/x")
    return Steering(cast("Lab", lab), cast("Mesh", Daemons()))


async def test_cuts_and_silence_reach_the_ports_of_sites_and_nodes(
    steering: Steering, internet: Recorded
) -> None:
    for request in (Cut("a", "h1"), Heal("home", "b"), Silence("c"), Revive("c")):
        assert await steering.handle(request) == {}
    assert internet.told == [("cut", 0, 3), ("heal", 3, 1), ("silence", 2), ("revive", 2)]


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


async def test_a_lab_without_programs_says_so(small: Topology, internet: Recorded) -> None:
    lab = SimpleNamespace(topology=small, internet=internet)
    with pytest.raises(ConfigError, match="--bare"):
        await Steering(cast("Lab", lab), None).handle(Start("a"))


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
