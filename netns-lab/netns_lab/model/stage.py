"""What a story works with: a mesh drawn from its seed, eyes that measure reach and outages, and a verdict.

A figure that misses its bound fails the story, unless the bound belongs to an issue that is not done: then it
is a known gap, and reported as one with the value it has.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from netns_lab.bounded import Bounded
from netns_lab.boxes.behaviour import BOXES, KINDS
from netns_lab.model.invariants import problems
from netns_lab.model.mesh import Mesh
from netns_lab.model.node import Node, Settings
from netns_lab.model.underlay import Firewall, Realm, Weather

STEP_S = 0.25
"""How exactly outages are measured."""
FORM_WITHIN_S = 120.0
SETTLE_S, LOOKS, LOOK_EVERY_S = 60.0, 4, 12.0
Group = Sequence[Node]


@dataclass(frozen=True, slots=True)
class Figure(Bounded):
    """A measured value; ``gap`` names what is still to be done where the bound can't be met yet."""

    gap: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """How a story went."""

    story: str
    seed: int
    figures: dict[str, Figure]
    failures: tuple[str, ...]
    digest: str
    """Of the trace: equal for equal runs."""
    simulated_s: float

    @property
    def passed(self) -> bool:
        """Whether nothing failed but what is known to."""
        return not self.failures

    @property
    def gaps(self) -> dict[str, Figure]:
        """Bounds that are missed and known to be."""
        return {name: figure for name, figure in self.figures.items() if figure.gap and not figure.met}


@dataclass(slots=True)
class Outages:
    """Pairs that do not reach each other, since when, and the longest such time."""

    since: dict[tuple[int, int], float] = field(default_factory=dict)
    longest_s: float = 0.0

    def see(self, unreached: set[tuple[int, int]], now: float) -> None:
        """Note what is unreached now."""
        for pair in self.since.keys() - unreached:
            self.longest_s = max(self.longest_s, now - self.since.pop(pair))
        for pair in unreached:
            self.since.setdefault(pair, now)

    def end(self, now: float) -> float:
        """The longest, those that last included."""
        return max([self.longest_s, *(now - since for since in self.since.values())])


class Stage:
    """One run of one story."""

    def __init__(
        self, story: str, seed: int, nodes: int, *, show: Callable[[str], None] | None = None
    ) -> None:
        self.story = story
        self.seed = seed
        self.size = nodes
        self.rng = random.Random(f"{seed} {story}")
        self.weather = Weather(
            loss=self.rng.choice((0.0, 0.0, 0.002, 0.01)),
            duplication=self.rng.choice((0.0, 0.01)),
            reordering=self.rng.choice((0.0, 0.02)),
            jitter_s=self.rng.choice((0.0, 0.001, 0.005)),
        )
        self.mesh = Mesh(seed=seed, client_count=self.rng.choice((3, 4, 5)), weather=self.weather, show=show)
        self.figures: dict[str, Figure] = {}
        self.failures: list[str] = []

    # --- set-up -----------------------------------------------------------------------------------------

    def populate(self, *, public_share: float = 0.6) -> None:
        """Nodes on the Internet (at least three), at homes behind NATs of all kinds, some without UDP."""
        rng = self.rng
        while len(self.mesh.nodes) < self.size:
            if len(self.mesh.nodes) < 3 or rng.random() < public_share:
                blocked = len(self.mesh.nodes) >= 3 and rng.random() < 0.1
                self.add(firewall=Firewall(udp=not blocked))
                continue
            home = self.home(rng.choice(list(BOXES)))
            for _ in range(rng.choice((1, 1, 2))):
                if len(self.mesh.nodes) < self.size:
                    self.add(home)

    def home(self, kind: str) -> Realm:
        """A LAN behind the boxes that make a kind of NAT (``netns_lab.boxes.behaviour``)."""
        realm: Realm | None = None
        for box in reversed(BOXES[kind]):
            realm = self.mesh.home(KINDS[box], carrier=realm)
        assert realm is not None, "each kind is made of one box at least"
        return realm

    def add(
        self,
        realm: Realm | None = None,
        *,
        settings: Settings | None = None,
        firewall: Firewall | None = None,
    ) -> Node:
        """A node whose daemon starts within the first seconds."""
        node = self.mesh.add(realm, settings=settings, firewall=firewall, start=False)
        self.mesh.agenda.after(self.rng.uniform(0.0, 2.0), node.start)
        return node

    def form(self) -> None:
        """Wait for everybody to reach everybody, then until things are quiet."""
        took_s = self.until_reached(within_s=FORM_WITHIN_S)
        self.expect(took_s is not None, f"the mesh does not form within {FORM_WITHIN_S:g} s")
        self.mesh.run(60)

    # --- measuring --------------------------------------------------------------------------------------

    def living(self) -> list[Node]:
        """All nodes whose machine runs."""
        return [n for n in self.mesh.nodes if n.alive]

    def until_reached(self, *, within_s: float, groups: Iterable[Group] | None = None) -> float | None:
        """Seconds until everybody within each group reaches everybody; None: not in time."""
        began, groups = self.mesh.now, None if groups is None else list(groups)
        while self.mesh.now - began <= within_s:
            if not self._unreached(groups):
                return self.mesh.now - began
            self._step()
        return None

    def watch(self, seconds: float, groups: Iterable[Group] | None = None) -> float:
        """Let time pass; the longest outage of any pair of a group."""
        outages, end, groups = Outages(), self.mesh.now + seconds, None if groups is None else list(groups)
        outages.see(self._unreached(groups), self.mesh.now)
        while self.mesh.now < end:
            version = self.mesh.version
            self._step()
            if self.mesh.version != version:
                outages.see(self._unreached(groups), self.mesh.now)
        return outages.end(self.mesh.now)

    def _step(self) -> None:
        self.mesh.run(STEP_S)

    def _unreached(self, groups: Iterable[Group] | None) -> set[tuple[int, int]]:
        return set().union(*(self.mesh.unreached(group) for group in groups or [self.living()]))

    # --- verdict ----------------------------------------------------------------------------------------

    def figure(
        self,
        name: str,
        value: float | None,
        unit: str,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
        gap: str = "",
    ) -> None:
        """Something was measured."""
        rounded = None if value is None else round(value, 3)
        figure = self.figures[name] = Figure(rounded, unit, at_most, at_least, gap)
        if not figure.met and not gap:
            self.failures.append(f"{name}: {figure.value} {unit}, bound {figure.bound}")

    def expect(self, condition: bool, failure: str) -> None:
        """What must hold."""
        if not condition:
            self.failures.append(failure)

    def end(self, groups: Iterable[Group] | None = None) -> Result:
        """Let things settle, check what must hold then, and count."""
        groups = [self.living()] if groups is None else list(groups)
        self.mesh.run(SETTLE_S)
        looks = 1
        # A tunnel may just be giving way to another: what is wrong must stay wrong.
        while (found := problems(self.mesh, groups)) and looks < LOOKS:
            self.mesh.run(LOOK_EVERY_S)
            looks += 1
        self.failures += found
        tunnels = [len(n.engine.tunnels.active()) for n in self.mesh.nodes if n.engine is not None]
        self.figure("tunnels_mean", sum(tunnels) / max(len(tunnels), 1), "")
        self.figure("tunnels_most", max(tunnels, default=0), "", at_most=40)
        sent = [self.mesh.ledger.total(n.name) / self.mesh.now for n in self.mesh.nodes]
        self.figure("sent_mean", sum(sent) / len(sent), "B/s per node")
        return Result(
            self.story,
            self.seed,
            self.figures,
            tuple(self.failures),
            self.mesh.trace.digest,
            self.mesh.now,
        )
