"""The two ways of a question to another machine: TCP on the underlay, and the overlay as its routes lead."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from netns_lab.model import wire
from netns_lab.model.nat import Address
from netns_lab.model.underlay import Arrived, Host

if TYPE_CHECKING:
    from netns_lab.model.mesh import Mesh
    from netns_lab.model.node import Node


class UnderlayWay:
    """TCP to an address; ``accepts``: whether the host found there has who is wanted."""

    def __init__(
        self, mesh: "Mesh", node: "Node", port: int, to: Address, accepts: Callable[[Host], bool]
    ) -> None:
        self._mesh = mesh
        self._node = node
        self._port = port
        self._to = to
        self._accepts = accepts
        self.arrived: Arrived | None = None
        """The end of the way when it was last looked at."""

    def one_way_s(self) -> float | None:
        """Delay of one packet; None: it does not arrive."""
        underlay = self._mesh.underlay
        self.arrived = underlay.way(self._node.host, "tcp", self._port, self._to)
        if self.arrived is None:
            return None
        return underlay.one_way_s(self._node.host.site, self.arrived.host.site)

    def listens(self) -> bool:
        """Whether the right one is there."""
        return self.arrived is not None and self._accepts(self.arrived.host)

    def count(self, size: int, *, back: bool) -> None:
        """Of the asker, or of who answers."""
        if not back:
            self._mesh.ledger.add(self._node.name, "https", size)
        elif self.arrived is not None:
            self._mesh.ledger.add(self.arrived.host.name, "https", size)


class OverlayWay:
    """Through the tunnels, as each node on the way routes now; the answer comes as the routes back lead."""

    def __init__(self, mesh: "Mesh", node: "Node", peer: "Node") -> None:
        self._mesh = mesh
        self._node = node
        self._peer = peer

    def one_way_s(self) -> float | None:
        """Mean of there and back; None: one of them is broken."""
        there = self._mesh.path(self._node, self._peer)
        back = self._mesh.path(self._peer, self._node)
        if there is None or back is None:
            return None
        return (self._mesh.path_s(there) + self._mesh.path_s(back)) / 2

    def listens(self) -> bool:
        """Whether the peer's daemon runs."""
        return self._peer.engine is not None

    def count(self, size: int, *, back: bool) -> None:
        """Each node on the way sends it once."""
        ends = (self._peer, self._node) if back else (self._node, self._peer)
        packets = -(-size // wire.MSS)
        for hop in (self._mesh.path(*ends) or [ends[0], ends[1]])[:-1]:
            self._mesh.ledger.add(hop.name, "overlay", size + packets * (wire.IP_UDP + 32))
