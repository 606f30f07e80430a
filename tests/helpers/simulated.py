"""Senses of a small overlay in which each microsecond of RTT costs one in Babel's metric, or as little as you
say."""

import random
from array import array
from collections.abc import Callable, Mapping

from netns_lab.simulate.overlay import Overlay
from netns_lab.simulate.paths import Metrics, find_routes
from netns_lab.simulate.senses import Senses, Table


def senses_of(
    overlay: Overlay, *, accept: int = 20, measure: Callable[[int, int], int] = lambda _a, _b: 1000
) -> Senses:
    """What nodes know; each accepts so many tunnels."""
    return Senses(
        overlay,
        may_accept=lambda node: overlay.accepted(node) < accept,
        measure=measure,
        rng=random.Random(1),
    )


def see(
    overlay: Overlay,
    senses: Senses,
    rtt_us: Callable[[int, int], int] = lambda _a, _b: 1000,
    *,
    carried: Mapping[tuple[int, int], int] | None = None,
) -> None:
    """Let Babel settle; ``carried``: what it is to say of each tunnel's destinations, instead of the
    truth."""
    arcs = overlay.arcs()
    ends = list(zip(arcs.owner, arcs.to, strict=True))
    measured = array("i", (rtt_us(*pair) for pair in ends))
    metrics = Metrics(overlay.nodes)
    truly, _paths = find_routes(arcs, cost=measured, rtt_us=measured, sampled=[], relay_us=0, metrics=metrics)
    if carried is not None:
        truly = array("i", (carried.get(pair, 5) for pair in ends))
    senses.see(Table(arcs, measured, measured, truly, metrics))
