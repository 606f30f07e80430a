"""The overlay of a simulation: which nodes hold a tunnel, who opened it, and the arcs that this makes."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass


class Overlay:
    """Tunnels between nodes ``0 .. nodes - 1``, at most one for each pair."""

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes
        self._peers: list[dict[int, bool]] = [{} for _ in range(nodes)]
        self._opened = [0] * nodes

    def peers(self, node: int) -> dict[int, bool]:
        """Peers with a tunnel to this node; True if the node itself opened it."""
        return self._peers[node]

    def opened(self, node: int) -> int:
        """How many tunnels this node opened."""
        return self._opened[node]

    def accepted(self, node: int) -> int:
        """How many tunnels others opened to this node."""
        return len(self._peers[node]) - self._opened[node]

    def open(self, initiator: int, peer: int) -> None:
        """Add a tunnel; ValueError if there is one, or if both are the same."""
        if initiator == peer or peer in self._peers[initiator]:
            raise ValueError(f"no second tunnel between {initiator} and {peer}")
        self._peers[initiator][peer] = True
        self._peers[peer][initiator] = False
        self._opened[initiator] += 1

    def close(self, initiator: int, peer: int) -> None:
        """Remove the tunnel that ``initiator`` opened; KeyError if there is none."""
        if not self._peers[initiator][peer]:
            raise KeyError(f"{initiator} did not open the tunnel to {peer}")
        del self._peers[initiator][peer], self._peers[peer][initiator]
        self._opened[initiator] -= 1

    def tunnels(self) -> Iterator[tuple[int, int]]:
        """(initiator, peer) of each tunnel, in order."""
        for node, peers in enumerate(self._peers):
            for peer in sorted(peers):
                if peers[peer]:
                    yield node, peer

    def arcs(self) -> "Arcs":
        """The tunnels as they are now, both ways."""
        first, to, owner = array("i", [0]), array("i"), array("i")
        for node, peers in enumerate(self._peers):
            to.extend(sorted(peers))
            owner.extend([node] * len(peers))
            first.append(len(to))
        # Owners ascend, and each node's arcs ascend by peer: its arcs are met as others' in their own order.
        unmet = list(first[:-1])
        back = array("i", bytes(4 * len(to)))
        for arc, peer in enumerate(to):
            back[arc] = unmet[peer]
            unmet[peer] += 1
        return Arcs(first, owner, to, back)


@dataclass(frozen=True, slots=True)
class Arcs:
    """Each tunnel as two arcs, one for each end; the arcs of node u are ``first[u] .. first[u + 1] - 1``."""

    first: "array[int]"
    owner: "array[int]"
    to: "array[int]"
    back: "array[int]"
    """The same tunnel's arc of the other end."""

    @property
    def nodes(self) -> int:
        """How many nodes the overlay has, also without tunnels."""
        return len(self.first) - 1

    def of(self, node: int) -> range:
        """The arcs of one node."""
        return range(self.first[node], self.first[node + 1])
