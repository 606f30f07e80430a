"""The nodes of a lab in a table: from what each of them tells."""

import json
import signal
import subprocess

import pytest
from rich.console import Console

from netns_lab.cleanup import processes_inside
from netns_lab.cli import status
from netns_lab.cli.status import node_state, table
from netns_lab.control import labs
from netns_lab.programs import own_environment
from tests.helpers.lab_command import ARGV, netns_lab

KNOWN = {"overlay": "2001:db8:42:1::1", "pid": 7, "underlay": ["203.0.113.11"]}
TOLD = {
    "tunnels": [
        {"state": "active", "transport": "wireguard", "rtt_ms": 30.0},
        {"state": "active", "transport": "wireguard", "rtt_ms": None},
        {"state": "active", "transport": "openvpn", "rtt_ms": 10.0},
        {"state": "offered", "transport": "wireguard", "rtt_ms": 5.0},
    ],
    "routes": [
        {"destination": "2001:db8:42:2::/64", "installed": True},
        {"destination": "2001:db8:42:2::/64", "installed": False},
    ],
    "daemon": {"rss_bytes": 68_000_000, "babeld": False},
}


def test_a_node_is_summed_up_from_its_own_status() -> None:
    state = node_state("n1", "203.0.113.11", KNOWN, TOLD)
    assert state.tunnels == {"wireguard": 2, "openvpn": 1}
    assert state.median_rtt_ms == 30
    assert state.destinations == 1
    assert state.rss_mb == 68
    console = Console(width=120)
    with console.capture() as captured:
        console.print(table([state]))
    assert "no babeld" in captured.get()


def test_a_node_that_does_not_answer_or_is_dead_is_shown_as_such() -> None:
    silent = node_state("n1", "203.0.113.11", KNOWN, None)
    dead = node_state("n2", "203.0.113.12", {**KNOWN, "pid": None}, None)
    console = Console(width=120)
    with console.capture() as captured:
        console.print(table([silent, dead]))
    lines = captured.get().splitlines()
    assert lines[1].split() == ["n1", "203.0.113.11", "2001:db8:42:1::1", "7", "-", "-", "-", "-", "-"]
    assert "dead" in lines[2]


@pytest.mark.root
async def test_a_node_that_hangs_is_not_waited_for(two: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "own", lambda name: ["tail", "-f", "/dev/null"])
    monkeypatch.setattr(status, "_ANSWER_WITHIN_S", 0.2)
    machine = labs.machine(labs.find(two), "a")
    assert await status._told(machine) is None
    assert not list(processes_inside({machine.path.stat().st_ino}))


@pytest.mark.root
def test_ctrl_c_ends_what_is_watched(two: str) -> None:
    with subprocess.Popen(
        [*ARGV, "status", two, "--watch", "--json"], stdout=subprocess.PIPE, text=True, env=own_environment()
    ) as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["label"] == two
        watching.send_signal(signal.SIGINT)
        assert watching.wait(20) == 0


@pytest.mark.root
def test_a_lab_without_programs_lists_its_machines(two: str) -> None:
    said = json.loads(netns_lab("status", two, "--json").stdout)
    assert [node["node"] for node in said["nodes"]] == ["a", "b"]
    assert said["internet_alive"] is True
    shown = netns_lab("status", two).stdout
    assert f"lab {two}" in shown
    assert "203.0.113.2" in shown
