"""What a scenario waits for: each condition can be looked at, says what it still misses, combines with ``&``.

::

await stage.wait_for(full_mesh & no_route_through("r1"), within_s=60)
"""

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Protocol

from netns_lab.echo import Pair, Prober
from re6st_core.errors import RouterError

if TYPE_CHECKING:
    from netns_lab.mesh import Mesh

_LOOK_S = 0.5
_ASK_EVERY_S = 0.1
_SHOWN = 8  # of the things that are missing, in a message


class Scene(Protocol):
    """What conditions may look at."""

    @property
    def mesh(self) -> "Mesh":
        """The programs."""

    @property
    def living(self) -> Collection[str]:
        """Nodes that run and that the Internet reaches."""

    async def status(self, node: str) -> dict[str, Any]:
        """What ``re6st status --json`` says there; RouterError: nothing."""

    async def way(self, a: str, b: str) -> tuple[str, ...]:
        """The nodes from a to b, both included; empty when not every one answered."""


class Condition:
    """Something that holds or does not."""

    async def missing(self, scene: Scene) -> list[str]:
        """Look once; what keeps it from holding, each in a few words.  Empty: it holds."""
        raise NotImplementedError

    def __and__(self, other: "Condition") -> "Condition":
        return _Both(self, other)


@dataclass(frozen=True, slots=True)
class _Both(Condition):
    first: Condition
    second: Condition

    def __str__(self) -> str:
        return f"{self.first} and {self.second}"

    async def missing(self, scene: Scene) -> list[str]:
        # At the same time: a figure measures until all of it holds, and each look takes a while.
        first, second = await asyncio.gather(self.first.missing(scene), self.second.missing(scene))
        return first + second


@dataclass(frozen=True, slots=True)
class _Reachable(Condition):
    """Every pair answers, all within half a second (hundreds: in more).  ``pairs`` None: of all that live."""

    pairs: frozenset[Pair] | None
    name: str

    def __str__(self) -> str:
        return self.name

    async def missing(self, scene: Scene) -> list[str]:
        living = sorted(scene.living)
        pairs = self.pairs or {(a, b) for a in living for b in living if a != b}
        targets: dict[Pair, IPv6Address] = {(a, b): scene.mesh.addresses[b] for a, b in pairs}
        # Hundreds of pairs are work for the processor, which may have other work: they get more time.
        every_s = max(_ASK_EVERY_S, len(targets) / 1000)
        async with Prober(scene.mesh.machines, targets) as prober:
            silent = await prober.until_all_answer(
                interval_s=every_s, within_s=max(_LOOK_S, 4 * every_s), on_answer=lambda *_: None
            )
        return [f"no answer {a}-{b}" for a, b in sorted(silent)]


full_mesh: Condition = _Reachable(None, "every pair answers")
"""All living nodes reach each other over the overlay."""


def reachable(a: str, b: str) -> Condition:
    """Two nodes reach each other over the overlay."""
    return _Reachable(frozenset({(a, b), (b, a)}), f"{a} and {b} reach each other")


def all_reach(nodes: Iterable[str]) -> Condition:
    """These nodes reach each other over the overlay."""
    names = sorted(nodes)
    pairs = frozenset((a, b) for a in names for b in names if a != b)
    return _Reachable(pairs, f"{', '.join(names)} reach each other")


@dataclass(frozen=True, slots=True)
class _NoRouteThrough(Condition):
    node: str

    def __str__(self) -> str:
        return f"no route through {self.node}"

    async def missing(self, scene: Scene) -> list[str]:
        others = [node for node in sorted(scene.living) if node != self.node]
        found = await asyncio.gather(*(_status(scene, node) for node in others))
        cn = scene.mesh.cns[self.node]
        return [
            f"{node}: no status" if status is None else f"{node}: {route['destination']} via {self.node}"
            for node, status in zip(others, found, strict=True)
            for route in ([{}] if status is None else status["routes"])
            if status is None or (route["installed"] and route["peer"] == cn)
        ]


def no_route_through(node: str) -> Condition:
    """No living node sends anything to this node, as itself says."""
    return _NoRouteThrough(node)


@dataclass(frozen=True, slots=True)
class _TunnelsOf(Condition):
    node: str
    at_least: int
    to: frozenset[str]
    never_to: frozenset[str]
    transports: frozenset[str]

    def __str__(self) -> str:
        parts = [f"{self.at_least} or more"] if self.at_least else []
        parts += [f"to {', '.join(sorted(self.to))}"] if self.to else []
        parts += [f"none to {', '.join(sorted(self.never_to))}"] if self.never_to else []
        parts += [f"by {' and '.join(sorted(self.transports))} only"] if self.transports else []
        return f"tunnels of {self.node}: {'; '.join(parts)}"

    async def missing(self, scene: Scene) -> list[str]:
        status = await _status(scene, self.node)
        if status is None:
            return [f"{self.node}: no status"]
        names = {cn: node for node, cn in scene.mesh.cns.items()}
        every = [(names.get(t["peer"], t["peer"]), t) for t in status["tunnels"]]
        active = {name: t["transport"] for name, t in every if t["state"] == "active"}
        missing = [f"{self.node}: no tunnel to {name}" for name in sorted(self.to - active.keys())]
        missing += [f"{self.node}: still a tunnel to {name}" for name, _ in every if name in self.never_to]
        if len(active) < self.at_least:
            missing.append(f"{self.node}: {len(active)} tunnels, to {', '.join(sorted(active)) or 'nobody'}")
        if self.transports:
            missing += [
                f"{self.node}: a tunnel to {name} by {transport}"
                for name, transport in sorted(active.items())
                if transport not in self.transports
            ]
        return missing


def tunnels_of(
    node: str,
    *,
    at_least: int = 0,
    to: Iterable[str] = (),
    never_to: Iterable[str] = (),
    transports: Iterable[str] = (),
) -> Condition:
    """Active tunnels of a node: how many, to whom, by which transports only; and to whom not even tried."""
    return _TunnelsOf(node, at_least, frozenset(to), frozenset(never_to), frozenset(transports))


def every_tunnel(nodes: Iterable[str]) -> Condition:
    """Each of these nodes has an active tunnel to each other one."""
    names = sorted(nodes)
    first, *others = (tunnels_of(node, to=[n for n in names if n != node]) for node in names)
    for other in others:
        first &= other
    return first


@dataclass(frozen=True, slots=True)
class _Direct(Condition):
    pairs: frozenset[Pair]

    def __str__(self) -> str:
        return f"{len(self.pairs)} pairs have a direct tunnel by UDP"

    async def missing(self, scene: Scene) -> list[str]:
        nodes = sorted({node for pair in self.pairs for node in pair})
        names = {cn: node for node, cn in scene.mesh.cns.items()}
        have: set[frozenset[str]] = set()
        for node, status in zip(
            nodes, await asyncio.gather(*(_status(scene, node) for node in nodes)), strict=True
        ):
            for tunnel in status["tunnels"] if status else ():
                if tunnel["state"] == "active" and tunnel["transport"] == "wireguard":
                    have.add(frozenset((node, names.get(tunnel["peer"], ""))))
        return [f"no direct tunnel {a}-{b}" for a, b in sorted(self.pairs) if frozenset((a, b)) not in have]


def direct_tunnels(pairs: Iterable[Pair]) -> Condition:
    """Each of these pairs of nodes has a tunnel by WireGuard, as one of them says."""
    return _Direct(frozenset(pairs))


@dataclass(frozen=True, slots=True)
class _Relayed(Condition):
    a: str
    b: str
    by: int

    def __str__(self) -> str:
        return f"{self.a} reaches {self.b} by {self.by} relays"

    async def missing(self, scene: Scene) -> list[str]:
        way = await scene.way(self.a, self.b)
        if len(way) == self.by + 2:
            return []
        return [f"the way is {' '.join(way)}" if way else f"no whole way from {self.a} to {self.b}"]


def relayed(a: str, b: str, *, by: int) -> Condition:
    """What a sends to b goes over so many other nodes (0: a tunnel between them)."""
    return _Relayed(a, b, by)


@dataclass(frozen=True, slots=True)
class _WayIs(Condition):
    nodes: tuple[str, ...]

    def __str__(self) -> str:
        return f"the way is {' '.join(self.nodes)}"

    async def missing(self, scene: Scene) -> list[str]:
        way = await scene.way(self.nodes[0], self.nodes[-1])
        return [] if way == self.nodes else [f"it is {' '.join(way) or 'not whole'}"]


def way_is(*nodes: str) -> Condition:
    """What the first node sends to the last goes over exactly those between them."""
    return _WayIs(nodes)


@dataclass(frozen=True, slots=True)
class _Announces(Condition):
    node: str
    address: IPv4Address | IPv6Address

    def __str__(self) -> str:
        return f"{self.node} announces {self.address}"

    async def missing(self, scene: Scene) -> list[str]:
        status = await _status(scene, self.node)
        endpoints = status["daemon"]["endpoints"] if status else []
        if str(self.address) in [endpoint.partition(",")[0] for endpoint in endpoints]:
            return []
        return [f"{self.node} announces {'; '.join(endpoints) or 'nothing'}"]


def announces(node: str, address: IPv4Address | IPv6Address) -> Condition:
    """The node says to others that it can be reached at an address."""
    return _Announces(node, address)


def in_few_words(missing: list[str]) -> str:
    """What is missing, for a message: not hundreds of pairs."""
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    return "; ".join(missing[:_SHOWN]) + more


async def _status(scene: Scene, node: str) -> dict[str, Any] | None:
    try:
        return await scene.status(node)
    except RouterError:  # it does not listen yet, or not any more
        return None
