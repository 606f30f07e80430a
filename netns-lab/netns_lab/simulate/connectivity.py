"""How an overlay hangs together, and what is left of it when nodes are lost.  Pure."""

import random
from array import array
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from netns_lab.simulate.overlay import Overlay
from re6st_core.errors import ConfigError

KINDS = ("random", "targeted")


@dataclass(frozen=True, slots=True)
class Loss:
    """Nodes to take away: ``percent`` of all, drawn at random or those with the most tunnels first."""

    kind: str
    percent: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.percent}"


def parse_losses(text: str) -> tuple[Loss, ...]:
    """Read ``random:30,targeted:10``; the empty text is none.  Raises ConfigError with every mistake."""
    losses, wrong = [], []
    for part in filter(None, text.split(",")):
        kind, _, percent = part.strip().partition(":")
        if kind in KINDS and percent.isascii() and percent.isdigit() and 1 <= int(percent) <= 99:
            losses.append(Loss(kind, int(percent)))
        else:
            wrong.append(f"--loss: {part!r} is not random:PERCENT or targeted:PERCENT with 1 to 99 per cent")
    if wrong:
        raise ConfigError(*wrong)
    return tuple(losses)


def parts(overlay: Overlay, without: Collection[int] = ()) -> "array[int]":
    """For each node the number of the connected part it is in, when some nodes are gone (those: -1)."""
    part = array("i", [-1]) * overlay.nodes
    for node in without:
        part[node] = -2
    number = 0
    for start in range(overlay.nodes):
        if part[start] != -1:
            continue
        part[start] = number
        found = [start]
        for node in found:  # grows while we go through it
            for peer in overlay.peers(node):
                if part[peer] == -1:
                    part[peer] = number
                    found.append(peer)
        number += 1
    for node in without:
        part[node] = -1
    return part


def components(overlay: Overlay, without: Collection[int] = ()) -> list[int]:
    """Sizes of the connected parts, largest first, when some nodes are gone."""
    sizes = Counter(parts(overlay, without))
    del sizes[-1]
    return sorted(sizes.values(), reverse=True)


def lost_nodes(overlay: Overlay, loss: Loss, rng: random.Random) -> list[int]:
    """Which nodes this loss takes."""
    count = round(overlay.nodes * loss.percent / 100)
    nodes: Iterable[int] = rng.sample(range(overlay.nodes), overlay.nodes)
    if loss.kind == "targeted":
        # Sorting is stable: of nodes with equally many tunnels, chance decides.
        nodes = sorted(nodes, key=lambda node: -len(overlay.peers(node)))
    return list(nodes)[:count]
