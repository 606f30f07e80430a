"""The registry of the model, as ``registry.http`` is: bootstrap answers, presence, parameters, relay."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from netns_lab.model import wire
from netns_lab.model.agenda import Agenda
from netns_lab.model.calls import Answer
from netns_lab.model.nat import Address
from netns_lab.model.underlay import Host
from re6st_core.address import Endpoint, Protocol
from re6st_core.json_wire import encode_json
from re6st_core.netparams import NetworkParameters
from re6st_core.registry_wire import BootstrapPeer, BootstrapResponse

if TYPE_CHECKING:
    from netns_lab.model.node import Node

SAMPLE = 8
RECENT_S = 3 * 3600.0
"""How long the registry takes a node that called for alive (``registry.domain.sampling``)."""


@dataclass(slots=True)
class Sighting:
    """A node that called."""

    node: "Node"
    endpoints: tuple[Endpoint, ...]
    at: float


@dataclass(slots=True)
class Registry:
    """The server on its host; ``away``: its process does not run."""

    host: Host
    port: int
    agenda: Agenda
    rng: random.Random
    parameters: NetworkParameters
    away: bool = False
    sightings: dict[int, Sighting] = field(default_factory=dict)
    """By node, who called last at the end; the database keeps them while the process is away."""
    relayed: "dict[int, Node]" = field(default_factory=dict)

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self.host.ip, self.port

    def accepts(self, host: Host) -> bool:
        """Whether a connection to this host finds it."""
        return host is self.host and not self.away

    def is_revoked(self, node: "Node") -> bool:
        """Whether a caller's certificate is no longer good."""
        return node.serial in self.parameters.revoked

    def signed_parameters(self, node: "Node") -> Answer | None:
        """Parameters with their size; None: the caller is refused."""
        if self.is_revoked(node):
            return None
        known = self.sightings.get(node.index)
        self._see(node, known.endpoints if known else ())
        return wire.PARAMETERS + 14 * len(self.parameters.revoked), self.parameters

    def bootstrap(self, node: "Node", endpoints: tuple[Endpoint, ...], source: Address) -> Answer | None:
        """Note where the caller is; peers for it, and where its connection came from."""
        if self.is_revoked(node):
            return None
        self._see(node, endpoints)
        answer = BootstrapResponse(
            observed=Endpoint(IPv4Address(source[0]), source[1], Protocol.TCP),
            peers=tuple(self._sample(node)),
        )
        return len(encode_json(answer)), answer

    def _see(self, node: "Node", endpoints: tuple[Endpoint, ...]) -> None:
        self.sightings.pop(node.index, None)
        self.sightings[node.index] = Sighting(node, endpoints, self.agenda.now)

    def _sample(self, caller: "Node") -> list[BootstrapPeer]:
        """About half of them on the relay; then who called lately; then who called last."""
        chosen: dict[int, BootstrapPeer] = {}

        def choose(sighting: Sighting) -> None:
            node = sighting.node
            relayed = node.index in self.relayed
            peer = BootstrapPeer(prefix=node.prefix, endpoints=sighting.endpoints, relayed=relayed)
            chosen[node.index] = peer

        def others(recent: bool) -> list[Sighting]:
            return [
                s
                for i, s in self.sightings.items()
                if i != caller.index
                and i not in chosen
                and not self.is_revoked(s.node)
                and (not recent or self.agenda.now - s.at <= RECENT_S)
            ]

        fresh = others(recent=True)
        here = [s for s in fresh if s.node.index in self.relayed]
        half = max(SAMPLE // 2, SAMPLE - len(self.sightings))
        for sighting in self.rng.sample(here, min(half, len(here))):
            choose(sighting)
        rest = others(recent=True)
        for sighting in self.rng.sample(rest, min(SAMPLE - len(chosen), len(rest))):
            choose(sighting)
        for sighting in reversed(others(recent=False)):
            if len(chosen) < SAMPLE:
                choose(sighting)
        return list(chosen.values())

    # --- the relay --------------------------------------------------------------------------------------

    def connect(self, node: "Node") -> None:
        """A node's WebSocket is there; it replaces an earlier one."""
        self.relayed[node.index] = node
        known = self.sightings.get(node.index)
        self._see(node, known.endpoints if known else ())

    def forward(self, sender: "Node", recipient: "Node", deliver: Callable[[], None]) -> bool:
        """Whether a frame goes on to its recipient; ``deliver`` is called when it has arrived there."""
        there = self.relayed.get(recipient.index)
        if there is None or self.is_revoked(sender) or self.is_revoked(recipient):
            return False
        delay_s = recipient.relay_way_s()
        if delay_s is not None:
            self.agenda.after(delay_s, deliver)
        return True  # also when the connection is dead and nobody has noticed yet

    def stop(self) -> None:
        """The process ends: connections break, and what is on the disk stays."""
        self.away = True
        members, self.relayed = list(self.relayed.values()), {}
        for node in members:
            node.relay_broken()

    def start(self) -> None:
        """It is back."""
        self.away = False
