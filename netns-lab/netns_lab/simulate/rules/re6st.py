"""re6st's own rule, the peer that ours is measured against (``re6st-protocol.md`` §8.5).

Every ``tunnel_refresh`` each node drops the tunnel, of those it opened, through which the fewest
destinations are routed, and opens another to a distant peer (routed, no direct neighbour) drawn at random.
A peer that serves as many clients as it may does not answer; the next one is tried.
"""

import random
from collections.abc import Iterable, Iterator
from typing import ClassVar

from netns_lab.simulate.metric import RE6ST, Metric
from netns_lab.simulate.rules.rule import Limits
from netns_lab.simulate.senses import REGISTRY_NODE, Senses
from netns_lab.simulate.traffic import (
    RE6ST_BOOTSTRAP,
    RE6ST_CLOSE,
    RE6ST_QUESTION,
    RE6ST_REFUSAL,
    RE6ST_TUNNEL,
)

UNSERVED = 2
"""Tunnels of a node to which nobody has ever connected."""
FEW = 64
"""Peers drawn before all of them are put in order."""


class Re6stRule:
    """All nodes are reachable; the registry knows them all."""

    metric: ClassVar[Metric] = RE6ST
    hello_s: ClassVar[float] = 15.0
    round_s: ClassVar[float] = 300.0

    def __init__(self, senses: Senses, limits: Limits, rng: random.Random) -> None:
        self._senses = senses
        self._limits = limits
        self._rng = rng
        self._served: set[int] = set()
        """Nodes to which somebody has connected: they can be reached."""

    @staticmethod
    def may_hold(tunnels: int) -> bool:
        """Only the number of clients is limited."""
        return True

    def start(self) -> None:
        """The network as it is once it has grown: each node has opened its tunnels, to any others."""
        for node in self._order():
            self._fill(node, self._anybody(), self._limits.open)

    def refresh(self) -> None:
        """All drop first: a place that one gives up may be taken by another."""
        order = self._order()
        for node in order:
            self._drop(node)
        for node in order:
            self._renew(node)

    def _order(self) -> list[int]:
        return self._rng.sample(range(self._senses.nodes), self._senses.nodes)

    def _anybody(self) -> Iterator[int]:
        """All nodes in random order; the first few cost little."""
        some = self._rng.sample(range(self._senses.nodes), min(FEW, self._senses.nodes))
        yield from some
        yield from (node for node in self._order() if node not in some)

    def _wanted(self, node: int) -> int:
        if not all(self._senses.tunnels(node).values()):
            self._served.add(node)
        return self._limits.open if node in self._served else min(UNSERVED, self._limits.open)

    def _drop(self, node: int) -> None:
        opened = [peer for peer, own in self._senses.tunnels(node).items() if own]
        if opened and len(opened) >= self._wanted(node):
            least = min(opened, key=lambda peer: self._senses.carried(node, peer))  # the oldest of such
            self._senses.close(node, least, RE6ST_CLOSE)

    def _renew(self, node: int) -> None:
        distant: Iterable[int] = (peer for peer in self._anybody() if self._senses.is_routed(node, peer))
        if not self._senses.is_routed(node, REGISTRY_NODE):
            # Cut off: the registry names a peer, and if that one is not routed, it is the way back.
            named = self._senses.ask_registry(node, 1, RE6ST_BOOTSTRAP)
            distant = [peer for peer in named if not self._senses.is_routed(node, peer)] or distant
        self._fill(node, distant, self._wanted(node))

    def _fill(self, node: int, peers: Iterable[int], wanted: int) -> None:
        tunnels = self._senses.tunnels(node)
        missing = wanted - sum(tunnels.values())
        for peer in peers:
            if missing <= 0:
                break
            if peer == node or peer in tunnels:
                continue
            if self._senses.is_routed(node, peer):
                self._senses.ask(node, peer, RE6ST_QUESTION)
            missing -= self._senses.open(node, peer, opened=RE6ST_TUNNEL, refused=RE6ST_REFUSAL)
