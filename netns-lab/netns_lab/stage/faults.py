"""What a scenario can do to machines, daemons, paths and the registry, each with a line in the story."""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from itertools import product
from typing import Any

from netns_lab.boxes.firewall import install_firewall, remove_firewall
from netns_lab.lab import Lab
from netns_lab.mesh import Mesh
from netns_lab.stage.story import Story
from re6st_core.errors import RouterError


class Faults:
    """Base of the stage: everything that breaks something, or mends it."""

    def __init__(self, lab: Lab, mesh: Mesh, story: Story, *, registry: str) -> None:
        self.lab = lab
        self.mesh = mesh
        self.story = story
        self.registry = registry
        self._unreachable: set[str] = set()  # silenced, dead

    @property
    def living(self) -> list[str]:
        """Nodes whose daemon runs and that the Internet reaches."""
        return [node for node in self.mesh.nodes if self.mesh.running(node) and node not in self._unreachable]

    async def status(self, node: str) -> dict[str, Any]:
        """What ``re6st status --json`` says on a node; RouterError: nothing."""
        return await self.mesh.status(node)

    # --- the Internet -----------------------------------------------------------------------------------

    def silence(self, *nodes: str) -> None:
        """From now on nothing of a node's site comes through, while its carrier stays up: silent death."""
        for node in nodes:
            self.lab.internet.silence(self.lab.port(node))
            self._unreachable |= set(self.lab.topology.site_of(node).nodes)
        self.story.event(f"{_list(nodes)}: silent")

    def revive(self, *nodes: str) -> None:
        """Undo :meth:`silence`."""
        for node in nodes:
            self.lab.internet.revive(self.lab.port(node))
            self._unreachable -= set(self.lab.topology.site_of(node).nodes)
        self.story.event(f"{_list(nodes)}: back on the Internet")

    def cut(self, a: str, b: str) -> None:
        """Nothing passes between the sites of two nodes any more."""
        self.lab.internet.cut(self.lab.port(a), self.lab.port(b))
        self.story.event(f"{a} x {b}: cut")

    def heal(self, a: str, b: str) -> None:
        """Undo :meth:`cut`."""
        self.lab.internet.heal(self.lab.port(a), self.lab.port(b))
        self.story.event(f"{a} - {b}: healed")

    def partition(self, one: Iterable[str], other: Iterable[str]) -> None:
        """Cut every path between two groups of nodes."""
        one, other = tuple(one), tuple(other)
        for a, b in product(one, other):
            self.lab.internet.cut(self.lab.port(a), self.lab.port(b))
        self.story.event(f"{_list(one)} x {_list(other)}: cut")

    def unite(self, one: Iterable[str], other: Iterable[str]) -> None:
        """Undo :meth:`partition`."""
        one, other = tuple(one), tuple(other)
        for a, b in product(one, other):
            self.lab.internet.heal(self.lab.port(a), self.lab.port(b))
        self.story.event(f"{_list(one)} - {_list(other)}: healed")

    async def flap(self, a: str, b: str, *, times: int, down_s: float, up_s: float) -> None:
        """Cut the path between two nodes and heal it, again and again."""
        for _ in range(times):
            self.cut(a, b)
            await asyncio.sleep(down_s)
            self.heal(a, b)
            await asyncio.sleep(up_s)

    def change_address(self, node: str, address: IPv4Address | IPv6Address) -> None:
        """The provider gives the site of a node another public address."""
        self.lab.change_address(node, address)
        self.story.event(f"{node}: its address is {address} now")

    @contextlib.contextmanager
    def elsewhere(self, node: str) -> Iterator[None]:
        """For a while the node is where no firewall is in its way."""
        site, box = self.lab.site(node), self.lab.box(node)
        sides = ("lan", "inet") if site.nat else ("lan0", "inet")
        remove_firewall(box, bridge=site.nat is None)
        self.story.event(f"{node}: elsewhere, without firewall")
        try:
            yield
        finally:
            install_firewall(box, site, inside=sides[0], outside=sides[1], bridge=site.nat is None)
        self.story.event(f"{node}: behind its firewall")

    # --- machines and daemons ---------------------------------------------------------------------------

    async def kill(self, *nodes: str) -> None:
        """These machines lose their power: silent, and all of their processes gone."""
        self.silence(*nodes)
        for node in nodes:
            await self.mesh.kill_all(node)
        self.story.event(f"{_list(nodes)}: dead")

    async def kill_daemon(self, node: str) -> None:
        """``kill -9`` of the daemon alone; what it started lives on."""
        await self.mesh.stop(node, signal.SIGKILL)
        self.story.event(f"{node}: kill -9 of re6stnet")

    async def stop_daemon(self, node: str) -> None:
        """SIGTERM to the daemon, and its whole clean end."""
        status = await self.mesh.stop(node)
        self.story.event(f"{node}: re6stnet stopped")
        self.story.expect(status == 0, f"re6stnet of {node} ended with status {status}")

    def start_daemon(self, node: str) -> None:
        """Start the daemon of a node that has joined."""
        self.mesh.start(node)
        self.story.event(f"{node}: re6stnet started")

    def forget(self, node: str) -> None:
        """Remove all that a stopped node remembers, but not its certificate."""
        shutil.rmtree(self.mesh.machine(node).directory / "state", ignore_errors=True)
        self.story.event(f"{node}: forgets its peers")

    async def kill_babeld(self, node: str) -> int:
        """``kill -9`` of a node's babeld; returns the pid that it had."""
        pid = (await self.status(node))["daemon"]["babeld_pid"]
        if pid is None:
            raise RouterError(f"{node} has no babeld to kill")
        os.kill(pid, signal.SIGKILL)
        self.story.event(f"{node}: kill -9 of babeld")
        return int(pid)

    # --- the registry -----------------------------------------------------------------------------------

    async def stop_registry(self) -> None:
        """The registry dies."""
        await self.mesh.stop(self.registry, signal.SIGKILL)
        self.story.event("the registry is away")

    async def start_registry(self) -> None:
        """The registry is back."""
        await self.mesh.run_registry()
        self.story.event("the registry is back")

    async def revoke(self, node: str) -> None:
        """The operator revokes the certificate of a node."""
        await self.mesh.revoke(node)
        self.story.event(f"the certificate of {node} is revoked")

    # --- inside -----------------------------------------------------------------------------------------

    def node_at(self, address: IPv6Address) -> str:
        """Name of the node that has an overlay address; the address itself if none has."""
        return next((node for node, own in self.mesh.addresses.items() if own == address), str(address))


def _list(nodes: Iterable[str]) -> str:
    return ", ".join(nodes)
