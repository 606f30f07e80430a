"""What a lab does when it is asked: each request, done to the lab and its mesh."""

import dataclasses
import signal
from typing import Any

from netns_lab.control.requests import (
    Cut,
    Heal,
    Info,
    Request,
    Revive,
    SetLink,
    Silence,
    Start,
    Stop,
)
from netns_lab.internet.link import Link, problems
from netns_lab.lab import Lab
from netns_lab.mesh import Mesh
from re6st_core.errors import ConfigError


class Steering:
    """Answers requests.  ``mesh``: the programs that run on the lab, if any do."""

    def __init__(self, lab: Lab, mesh: Mesh | None) -> None:
        self._lab = lab
        self._mesh = mesh
        self._links: dict[tuple[int, int], Link] = {}  # those changed, by ports

    async def handle(self, request: Request) -> dict[str, Any]:
        """Do what is asked; ConfigError when it makes no sense here, RouterError when it fails."""
        match request:
            case Info():
                return self._info()
            case Cut(a=a, b=b):
                self._lab.cut(a, b)
            case Heal(a=a, b=b):
                self._lab.heal(a, b)
            case Silence(node=node):
                self._lab.silence(node)
            case Revive(node=node):
                self._lab.revive(node)
            case SetLink():
                return self._set_link(request)
            case Start(node=node):
                return await self._start(node)
            case Stop():
                return await self._stop(request)
        return {}

    def _info(self) -> dict[str, Any]:
        topology, mesh = self._lab.topology, self._mesh
        nodes = {
            node: {
                "site": topology.site_of(node).name,
                "nat": topology.site_of(node).nat,
                "underlay": [
                    str(address)
                    for address in (topology.address_of(node), topology.address6_of(node))
                    if address is not None
                ],
                "overlay": str(mesh.addresses[node]) if mesh and node in mesh.addresses else None,
                "pid": mesh.daemon_pid(node) if mesh else None,
            }
            for node in topology.nodes
        }
        return {
            "id": self._lab.record.lab_id,
            "label": self._lab.record.label,
            "topology": topology.name,
            "title": topology.title,
            "directory": str(self._lab.directory),
            "internet": self._lab.internet.kind,
            "internet_alive": self._lab.internet.alive,
            "registry": topology.registry,
            "nodes": nodes,
        }

    def _set_link(self, request: SetLink) -> dict[str, Any]:
        changes: dict[str, Any] = {
            name: value
            for name in ("jitter_ms", "loss", "rate_mbit", "mtu", "reorder")
            if (value := getattr(request, name)) is not None
        }
        if request.rtt_ms is not None:
            changes["delay_ms"] = request.rtt_ms / 2
        a, b = self._lab.path(request.a, request.b)
        for source, to in [(a, b)] if request.one_way else [(a, b), (b, a)]:
            before = self._links.get((source, to)) or self._lab.topology.links[source][to]
            link = dataclasses.replace(before, **changes)
            if wrong := list(problems(link)):
                raise ConfigError(*wrong)
            self._lab.internet.set_link(source, to, link)
            self._links[source, to] = link
        return dataclasses.asdict(self._links[a, b])

    async def _start(self, node: str) -> dict[str, Any]:
        mesh = self._running_mesh(node)
        if mesh.daemon_pid(node) is not None:
            raise ConfigError(f"the daemon of {node} runs already")
        if node == self._lab.topology.registry:
            await mesh.run_registry()
        else:
            mesh.start(node)
        return {"pid": mesh.daemon_pid(node)}

    async def _stop(self, request: Stop) -> dict[str, Any]:
        mesh = self._running_mesh(request.node)
        if mesh.daemon_pid(request.node) is None:
            raise ConfigError(f"no daemon of {request.node} runs")
        number = signal.SIGKILL if request.kill else signal.SIGTERM
        return {"exit_status": await mesh.stop(request.node, number)}

    def _running_mesh(self, node: str) -> Mesh:
        mesh = self._mesh
        if mesh is None:
            raise ConfigError("this lab has machines only: it was made with --bare")
        if node not in self._lab.topology.nodes:
            raise ConfigError(f"no node {node!r}; there are: {', '.join(self._lab.topology.nodes)}")
        return mesh
