"""What a node has found out about peers that it has no tunnel with: whom to probe, whom to ask.  Pure and
bounded.

    all candidates --PROBES--> underlay RTT --cheaper than our route--> ASKED of them --> their distances

A tunnel that is dearer than the route we have brings nothing to anybody: who could be reached better through
it, is reached better by that route.  So a probe, of a few bytes, rules most peers out.  Of the others we ask
those that would have brought most when we asked them last, those that were never asked, the greatest
shortening of our way to them first, and, as things change, any.
"""

import random
from array import array
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

PROBES = 56
"""Peers probed in a round."""
ASKED = 12
"""Peers asked for their distances in a round."""
ACCEPTED = 3
"""Tunnels that a node takes in a round before it says that it has no room, for the same reason."""
WIDTH = 192
"""Destinations that they are asked about."""
ANSWERED = 26
"""Questions of others that a node answers in a round: those that everybody asks must not pay for it."""
MAX_NOTES = 1024
PROBE_AGAIN_S = 600.0
SILENT_S = 1800.0
"""How long a peer that does not answer probes is left alone."""
GIVEN_UP_S = 300.0
"""How long a peer is left alone whose tunnel we gave up: it stops two tunnels from taking turns."""
FULL_S = 90.0
"""How long a peer is left alone that takes no more tunnels, or does not answer."""
SWAP_BURST, SWAP_EVERY_S = 20.0, 150.0
"""How many tunnels a node may swap at first, and how often after that: delays that change all the time must
not keep tunnels changing with them.  A tunnel that was lost and drawn anew may be swapped besides."""
FADING = 0.9
"""Of what a candidate would have brought, what we still expect of it a round later."""
BUSIEST = 64
"""Destinations of most traffic that are always asked about."""

Peer = TypeVar("Peer", bound=Hashable)


@dataclass(slots=True)
class Note:
    """What is known of one peer."""

    cost: int | None = None
    """Of a tunnel to it, in Babel's metric; None: not known."""
    probe_at: float = 0.0
    """When to probe it again."""
    worth: float | None = None
    """What it would have brought when it was asked; None: never asked."""
    ask_at: float = 0.0
    """Not to be asked before."""


@dataclass(frozen=True, slots=True)
class Sample(Generic[Peer]):
    """The destinations of one round."""

    destinations: tuple[Peer, ...]
    weight: "array[float]"
    """How many destinations each of them stands for; traffic to it counts, too."""


class Scout(Generic[Peer]):
    """One node's notes."""

    def __init__(self) -> None:
        self._notes: dict[Peer, Note] = {}
        self._swaps, self._since = SWAP_BURST, 0.0

    def __len__(self) -> int:
        return len(self._notes)

    def whom_to_probe(self, candidates: Iterable[Peer], *, now: float, rng: random.Random) -> list[Peer]:
        """Those never probed, or long ago; in random order."""
        due = [peer for peer in candidates if self._is_due(peer, now)]
        return rng.sample(due, min(PROBES, len(due)))

    def _is_due(self, peer: Peer, now: float) -> bool:
        note = self._notes.get(peer)
        return note is None or note.probe_at <= now

    def probed(self, peer: Peer, cost: int | None, *, now: float) -> None:
        """A probe's result; None: no answer."""
        note = self._note(peer)
        note.cost = cost
        note.probe_at = now + (SILENT_S if cost is None else PROBE_AGAIN_S)

    def whom_to_ask(self, metrics: Mapping[Peer, int], *, now: float, rng: random.Random) -> list[Peer]:
        """``metrics``: of our routes to the candidates."""
        promising: list[tuple[float, Peer]] = []
        unknown: list[tuple[float, Peer]] = []
        others: list[Peer] = []
        for peer, metric in metrics.items():
            note = self._notes.get(peer)
            if note is None or note.cost is None or note.cost >= metric or note.ask_at > now:
                continue
            if note.worth is None:
                unknown.append((metric - note.cost, peer))
            elif note.worth > 0:
                promising.append((note.worth, peer))
            else:
                others.append(peer)
        chosen = [peer for _, peer in _greatest(promising, ASKED // 2)]
        chosen += [peer for _, peer in _greatest(unknown, ASKED - len(chosen))]
        rest = others + [peer for _, peer in _greatest(promising, len(promising))[ASKED // 2 :]]
        return chosen + rng.sample(rest, min(ASKED - len(chosen), len(rest)))

    def cost(self, peer: Peer) -> int | None:
        """Of a tunnel to this peer, if it is known."""
        note = self._notes.get(peer)
        return None if note is None else note.cost

    def note(self, expected: Mapping[Peer, float]) -> None:
        """What the peers asked in this round would bring; what was noted of others fades."""
        for note in self._notes.values():
            if note.worth:
                note.worth *= FADING
        for peer, worth in expected.items():
            self._note(peer).worth = worth

    def may_swap(self, now: float) -> int:
        """How many tunnels may be swapped now."""
        self._swaps = min(SWAP_BURST, self._swaps + max(0.0, now - self._since) / SWAP_EVERY_S)
        self._since = now
        return int(self._swaps)

    def drew(self) -> None:
        """A tunnel was opened by chance: it may be swapped for a better one."""
        self._swaps = min(SWAP_BURST, self._swaps + 1)

    def swapped(self, peer: Peer, *, now: float) -> None:
        """Our tunnel to this peer makes room for a better one."""
        self._swaps -= 1
        self._note(peer).ask_at = now + GIVEN_UP_S

    def in_vain(self, peer: Peer, *, now: float) -> None:
        """It was asked, and takes no more tunnels, or does not answer."""
        self._note(peer).ask_at = now + FULL_S

    def _note(self, peer: Peer) -> Note:
        note = self._notes.get(peer)
        if note is None:
            if len(self._notes) >= MAX_NOTES:
                del self._notes[next(iter(self._notes))]
            note = self._notes[peer] = Note()
        return note


def draw_sample(
    routed: Sequence[Peer],
    named: Collection[Peer],
    traffic: Mapping[Peer, int],
    *,
    rng: random.Random,
    width: int = WIDTH,
) -> Sample[Peer]:
    """Destinations to compare by: ``named`` ones, those of most traffic, and of all that are ``routed`` some.

    Those drawn stand for all others.  ``traffic``, in whatever unit, counts as much as all destinations
    together.
    """
    busiest = sorted(traffic, key=traffic.__getitem__, reverse=True)[:BUSIEST]
    chosen = dict.fromkeys([*named, *busiest][:width])
    drawn = rng.sample(routed, min(len(routed), width + len(chosen)))
    others = [peer for peer in drawn if peer not in chosen][: width - len(chosen)]
    left = sum(peer not in chosen for peer in routed) if len(routed) <= width else len(routed) - len(chosen)
    weight = array(
        "d", [1.0] * len(chosen) + [max(left, len(others)) / len(others) if others else 1.0] * len(others)
    )
    destinations = (*chosen, *others)
    if total := sum(traffic.get(peer, 0) for peer in destinations):
        for k, peer in enumerate(destinations):
            weight[k] += len(routed) * traffic.get(peer, 0) / total
    return Sample(destinations, weight)


def _greatest(rated: list[tuple[float, Peer]], count: int) -> list[tuple[float, Peer]]:
    return sorted(rated, key=lambda item: -item[0])[:count]
