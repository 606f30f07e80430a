"""What nodes find out, and what they do to each other: the only door between a rule and the simulated world.

A rule learns here what a node could know, as late and as wrong as the protocol makes it: RTT with noise,
routes as they were at the end of the last round.  The underlay and its truth are not to be had from here,
and each question and each message is written down with its bytes.
"""

import random
from array import array
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from netns_lab.simulate.connectivity import parts
from netns_lab.simulate.ledger import Ledger
from netns_lab.simulate.overlay import Arcs, Overlay
from netns_lab.simulate.paths import Metrics, least
from netns_lab.simulate.traffic import Exchange

REGISTRY_NODE = 0
"""The node on the registry's own host."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Errors of one RTT measurement: a share of it, both ways, and a queue somewhere, only ever longer."""

    share: float
    queue_us: float

    def measure(self, rtt_us: int, rng: random.Random) -> int:
        """What a node would measure."""
        if not self.share and not self.queue_us:
            return rtt_us
        queue_us = rng.expovariate(1 / self.queue_us) if self.queue_us else 0.0
        return max(1, round(rtt_us * max(0.1, rng.gauss(1, self.share)) + queue_us))


@dataclass(frozen=True, slots=True)
class Table:
    """Babel's tables of all nodes as they were at one time; each node sees its own lines only."""

    arcs: Arcs
    measured_us: "array[int]"
    cost: "array[int]"
    """What the metric makes of it."""
    carried: "array[int]"
    metrics: Metrics


class Senses:
    """One for the whole simulation; ``node`` in each call is the node that knows, asks or acts."""

    def __init__(
        self,
        overlay: Overlay,
        *,
        may_accept: Callable[[int], bool],
        measure: Callable[[int, int], int],
        rng: random.Random,
    ) -> None:
        """``may_accept``: whether a node has room for one more tunnel of another.  ``measure``: what a node
        would find the underlay RTT to another to be, now.
        """
        self._overlay = overlay
        self._may_accept = may_accept
        self._measure = measure
        self._rng = rng
        self._table: Table | None = None
        self._part = array("i", range(overlay.nodes))
        self.ledger = Ledger(overlay.nodes)

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return self._overlay.nodes

    def see(self, table: Table) -> None:
        """The end of a round: this is what Babel's tables say from now on."""
        self._table = table
        self.settle()

    def settle(self) -> None:
        """Some seconds later: every table says which nodes there is a route to; Babel spreads that first."""
        self._part = parts(self._overlay)

    # --- what a node knows by itself --------------------------------------------------------------------

    def tunnels(self, node: int) -> dict[int, bool]:
        """Peers it has a tunnel with now; True if it opened it."""
        return self._overlay.peers(node)

    def rtt_us(self, node: int, peer: int) -> int | None:
        """RTT of a tunnel as Babel last measured it; None if it is newer than that."""
        arc = self._arc(node, peer)
        return None if arc is None else self._seen.measured_us[arc]

    def carried(self, node: int, peer: int) -> int:
        """How many destinations the node reached through the tunnel with this peer."""
        arc = self._arc(node, peer)
        return 0 if arc is None else self._seen.carried[arc]

    def is_routed(self, node: int, other: int) -> bool:
        """Whether Babel knew a route to the other node."""
        return self._part[node] == self._part[other]

    def some_routed(self, node: int, count: int) -> list[int]:
        """Some destinations of Babel's table, at random; fewer if hardly any are routed."""
        drawn = self._rng.sample(range(self.nodes), min(self.nodes, 4 * count))
        return [other for other in drawn if other != node and self.is_routed(node, other)][:count]

    def is_expendable(self, node: int, peer: int) -> bool:
        """Whether Babel's table has another route to all that goes through this tunnel.

        Split horizon is off, so each neighbour announces all it reaches, even what it reaches through us: one
        other tunnel is enough for the table to say yes, rightly or not.
        """
        return len(self._overlay.peers(node)) > 1 or not self.carried(node, peer)

    def metrics(self, node: int, destinations: "array[int]") -> "array[int]":
        """Metric of the node's own route to each destination."""
        return self._seen.metrics.rows(array("i", [node]), array("i", [0]), destinations)

    def metrics_via(self, node: int, destinations: "array[int]") -> "dict[int, array[int]]":
        """Metric of the route to each destination through the tunnel with each peer: all that peers announce.

        Not through tunnels that are newer than the table.
        """
        seen, width, held = self._seen, len(destinations), self.tunnels(node)
        first, end = seen.arcs.first[node : node + 2]
        arcs = [arc for arc in range(first, end) if seen.arcs.to[arc] in held]
        peers, costs = (array("i", map(values.__getitem__, arcs)) for values in (seen.arcs.to, seen.cost))
        rows = seen.metrics.rows(peers, costs, destinations)
        return {peer: rows[k * width : (k + 1) * width] for k, peer in enumerate(peers)}

    # --- what it can ask --------------------------------------------------------------------------------

    def ask_registry(self, node: int, count: int, price: Exchange) -> list[int]:
        """Some nodes that live, at random."""
        self.ledger.add(price, node)
        found = self._rng.sample(range(self.nodes), min(count + 1, self.nodes))
        return [other for other in found if other != node][:count]

    def ask(self, node: int, peer: int, price: Exchange) -> None:
        """A question to a peer, and its answer; raises ValueError if Babel has no route to it."""
        if not self.is_routed(node, peer):
            raise ValueError(f"{node} has no route to {peer}")
        self.ledger.add(price, node, peer)

    def probe(self, node: int, peer: int, price: Exchange) -> int:
        """Underlay RTT to a peer, microseconds, as measured now."""
        self.ledger.add(price, node, peer)
        return self._measure(node, peer)

    def ask_in_vain(self, node: int, price: Exchange) -> None:
        """A question that gets no answer."""
        self.ledger.add(price, node)

    def ask_metrics(self, node: int, peer: int, destinations: "array[int]", price: Exchange) -> "array[int]":
        """The peer's metric of each destination, by its table of the last round, but not through the
        asker."""
        self.ask(node, peer, price)
        if node not in self.tunnels(peer):
            return self.metrics(peer, destinations)
        others = [row for via, row in self.metrics_via(peer, destinations).items() if via != node]
        found = least(others, len(destinations))
        for k, destination in enumerate(destinations):
            if destination == peer:
                found[k] = 0
        return found

    def has_room(self, peer: int) -> bool:
        """Whether the peer would take one more tunnel; it says so when it is asked for its metrics."""
        return self._may_accept(peer)

    # --- what it can do ---------------------------------------------------------------------------------

    def open(self, node: int, peer: int, *, opened: Exchange, refused: Exchange) -> bool:
        """Try to open a tunnel; False if the peer has no room, or there is a tunnel already."""
        if node == peer or peer in self._overlay.peers(node) or not self._may_accept(peer):
            self.ledger.add(refused, node, peer)
            return False
        self.ledger.add(opened, node, peer)
        self._overlay.open(node, peer)
        return True

    def close(self, node: int, peer: int, price: Exchange) -> None:
        """Close a tunnel that the node opened."""
        self._overlay.close(node, peer)
        self.ledger.add(price, node, peer)

    @property
    def _seen(self) -> Table:
        assert self._table is not None
        return self._table

    def _arc(self, node: int, peer: int) -> int | None:
        if self._table is None:
            return None
        arcs = self._table.arcs
        first, end = arcs.first[node], arcs.first[node + 1]
        arc = bisect_left(arcs.to, peer, first, end)
        return arc if arc < end and arcs.to[arc] == peer else None
