"""Which members are here now (on the relay) or called lately, for bootstrap answers."""

import random
from datetime import datetime

from re6st_core.address import Endpoint, decode_endpoints_untrusted
from re6st_core.errors import WireError
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import BootstrapPeer
from registry.domain.records import Node
from registry.domain.sampling import RandomSet, Sighting, Sightings
from registry.publication import Publication


class Presence:
    """Sightings, and the prefixes on the relay, both in memory; the database has the sightings too."""

    def __init__(self) -> None:
        self.sightings = Sightings()
        self.relayed = RandomSet()
        self.serials: dict[Prefix, int] = {}
        """Of the certificates shown on the relay."""

    def restore(self, nodes: list[tuple[Node, int]]) -> None:
        """Take up what the database knows, after a restart."""
        for node, serial in nodes:
            if node.seen is not None:
                endpoints = endpoints_of(node.endpoints)
                self.sightings.put(Sighting(node.prefix, endpoints, serial, node.seen, node.seen, endpoints))

    def sample(
        self, count: int, *, caller: Prefix, published: Publication, now: datetime, rng: random.Random
    ) -> list[BootstrapPeer]:
        """Up to ``count`` peers: about half of them on the relay, where they can surely be reached."""
        chosen: dict[Prefix, BootstrapPeer] = {}
        for prefix in self.relayed.choose(max(count // 2, count - len(self.sightings)), {caller}, rng):
            if not published.is_revoked(self.serials[prefix]):
                sighting = self.sightings.get(prefix)
                endpoints = sighting.endpoints if sighting else ()
                chosen[prefix] = BootstrapPeer(prefix=prefix, endpoints=endpoints, relayed=True)
        without = {caller, *chosen}
        while len(chosen) < count:
            drawn = self.sightings.sample(count - len(chosen), without=without, now=now, rng=rng)
            if not drawn:
                break
            for sighting in drawn:
                without.add(sighting.prefix)
                if published.is_revoked(sighting.serial):
                    self.sightings.forget(sighting.prefix)
                else:
                    relayed = sighting.prefix in self.relayed
                    peer = BootstrapPeer(
                        prefix=sighting.prefix, endpoints=sighting.endpoints, relayed=relayed
                    )
                    chosen[sighting.prefix] = peer
        return list(chosen.values())


def fill(peers: list[BootstrapPeer], nodes: list[Node], count: int, *, caller: Prefix) -> list[BootstrapPeer]:
    """``peers``, and those of ``nodes`` that are not among them, until there are ``count``."""
    without = {caller, *(peer.prefix for peer in peers)}
    more = [
        BootstrapPeer(prefix=node.prefix, endpoints=endpoints_of(node.endpoints))
        for node in nodes
        if node.prefix not in without
    ]
    return (peers + more)[:count]


def endpoints_of(stored: str) -> tuple[Endpoint, ...]:
    """What the database has; nothing if it was written by a version that allowed more."""
    try:
        return decode_endpoints_untrusted(stored)
    except WireError:
        return ()
