"""A node comes, dies, returns and leaves, under traffic, as real daemons in a lab.

registry   a   b   c      20 ms from each other, all public
"""

import asyncio
import re
import signal
import subprocess
from typing import Any, Self

import pytest

from netns_lab.mesh import Mesh
from netns_lab.namespace import Machine
from tests.helpers.lab_status import everybody_answers, until

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

TRACES = {
    "links": "ip -o link | sed 's/ qlen .*//; s/^[0-9]*: //'",
    "addresses": "ip -o addr | sed 's/^[0-9]*: //; s/valid_lft.*//'",
    "routes": "ip -6 route show table all | grep -v -e ' dev lo ' -e '^multicast'",
    "rules": "ip -6 rule; ip rule",
    "nftables": "nft list ruleset",
    "forwarding": "cat /proc/sys/net/ipv6/conf/all/forwarding",
    "sockets": "ss -Hlntu | awk '{print $1, $5}' | sort",
}


def traces(machine: Machine) -> dict[str, str]:
    """What a node could leave behind, outside its directories."""
    found = {name: machine.run(["sh", "-c", command + " || true"]) for name, command in TRACES.items()}
    pids = subprocess.run(
        ["ip", "netns", "pids", machine.namespace], capture_output=True, text=True, check=True
    ).stdout.split()
    return {**found, "processes": str(len(pids))}


def children(status: dict[str, Any]) -> dict[str, int]:
    """Processes that carry the node's traffic, by what they carry."""
    tunnels = {t["tunnel"]: t["pid"] for t in status["tunnels"] if t["pid"] and t["state"] == "active"}
    return {**tunnels, "babeld": status["daemon"]["babeld_pid"]}


class Traffic:
    """100 packets/s from one node to another, and how many were lost."""

    def __init__(self, machine: Machine, target: object) -> None:
        self._ping = subprocess.Popen(
            machine.command(["ping", "-q", "-i", "0.01", str(target)]), stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ping.kill()
        self._ping.communicate()

    def stop(self) -> int:
        """End it; returns how many packets were lost of those that had time to return."""
        self._ping.send_signal(signal.SIGINT)
        output, _ = self._ping.communicate(timeout=10)
        match = re.search(r"(\d+) packets transmitted, (\d+) received", output)
        assert match, output
        sent, received = int(match[1]), int(match[2])
        assert sent > 100
        return max(0, sent - received - 5)  # up to 40 ms of packets are on their way when it ends


async def test_after_sigterm_nothing_of_the_node_remains_and_its_peers_know(mesh: Mesh) -> None:
    machine = mesh.machine("b")
    before = traces(machine)
    for node in mesh.nodes:
        mesh.start(node)
    await everybody_answers(mesh)
    assert traces(machine) != before
    assert await mesh.stop("b") == 0
    assert traces(machine) == before
    # Told, they let the tunnel drain; untold, they would keep it for a minute.
    await until(mesh, "a", lambda s: mesh.cns["b"] not in {t["peer"] for t in s["tunnels"]}, within_s=10)


async def test_after_kill_9_everything_lives_on_and_the_next_daemon_adopts_it(mesh: Mesh) -> None:
    for node in mesh.nodes:
        mesh.start(node)
    await everybody_answers(mesh)
    for node in mesh.nodes:
        await until(mesh, node, lambda s: sum(t["state"] == "active" for t in s["tunnels"]) == 2)
    before = await mesh.status("b")
    with Traffic(mesh.machine("a"), mesh.addresses["b"]) as traffic:
        await mesh.stop("b", signal.SIGKILL)
        await asyncio.sleep(2)  # the story: nobody is there for a while
        mesh.start("b")
        await until(mesh, "b", lambda s: sum(t["state"] == "active" for t in s["tunnels"]) == 2)
        after = await mesh.status("b")
        assert children(after) == children(before)
        assert after["daemon"]["pid"] != before["daemon"]["pid"]
        assert traffic.stop() == 0
    assert await mesh.stop("b") == 0
    assert "re6st" not in traces(mesh.machine("b"))["links"]


async def test_a_second_daemon_on_the_same_state_is_refused_and_the_first_goes_on(mesh: Mesh) -> None:
    mesh.start("a")
    await until(mesh, "a", lambda s: s["daemon"]["babeld"])
    second = mesh.machine("a").start(
        mesh.daemon_command("a"), log=mesh.log("a"), cwd=mesh.machine("a").directory / "etc"
    )
    assert second.wait(20) == 2
    assert "another re6stnet" in mesh.log("a").read_text()
    assert (await mesh.status("a"))["daemon"]["babeld"]
