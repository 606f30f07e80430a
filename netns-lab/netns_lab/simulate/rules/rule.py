"""What a rule is to the simulation."""

import random
from dataclasses import dataclass
from typing import ClassVar, Protocol

from netns_lab.simulate.metric import Metric
from netns_lab.simulate.senses import Senses


@dataclass(frozen=True, slots=True)
class Limits:
    """Tunnels that each node opens, and that it accepts at most."""

    open: int
    accept: int


class Rule(Protocol):
    """One way of choosing tunnels, deciding for all nodes, each by what it knows itself."""

    metric: ClassVar[Metric]
    """Of tunnels, unless the operator wants another."""
    hello_s: ClassVar[float]
    round_s: ClassVar[float]
    """Time between two decisions of a node."""

    def __init__(self, senses: Senses, limits: Limits, rng: random.Random) -> None: ...

    @staticmethod
    def may_hold(tunnels: int) -> bool:
        """Whether a node may have one tunnel more than these."""
        ...

    def start(self) -> None:
        """All nodes join: they open their first tunnels."""
        ...

    def refresh(self) -> None:
        """One round: each node decides once, in random order, by tables of the round before."""
        ...
