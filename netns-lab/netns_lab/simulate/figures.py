"""What one round looks like from outside: an overlay's figures, beside direct paths and the bound."""

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import truediv

from netns_lab.simulate.overlay import Overlay
from netns_lab.simulate.paths import Paths, quantile
from netns_lab.simulate.underlay import Underlay


@dataclass(frozen=True, slots=True)
class Spread:
    """RTT of all pairs of a sample, milliseconds."""

    mean_ms: float
    median_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Reference:
    """The direct path and the best relay path from every node to each of some destinations, row by row."""

    direct_us: "array[int]"
    best_us: "array[int]"
    """In both, 1 from a node to itself: something to divide by."""
    direct: Spread
    best: Spread

    @classmethod
    def of(cls, underlay: Underlay, destinations: Sequence[int], relay_us: int) -> "Reference":
        """Work both out; a path costs the same in both directions."""
        direct = array("i")
        for node in destinations:
            direct += underlay.row_us(node)
        best = underlay.best_us(destinations, relay_us)
        spreads = spread(direct), spread(best)
        for row, node in enumerate(destinations):
            direct[row * underlay.nodes + node] = best[row * underlay.nodes + node] = 1
        return cls(direct, best, *spreads)


@dataclass(frozen=True, slots=True)
class PathFigures:
    """Over all sampled pairs with a route (NaN if there is none); the shares and ratios are fractions."""

    mean_ms: float
    median_ms: float
    p99_ms: float
    median_ratio_best: float
    p99_ratio_best: float
    median_ratio_direct: float
    faster_than_direct: float
    mean_hops: float
    reachable: float
    """Share of all sampled pairs that has a route."""


@dataclass(frozen=True, slots=True)
class Degree:
    """Tunnels of a node, both kinds."""

    mean: float
    min: int
    median: int
    p99: int
    max: int

    @classmethod
    def of(cls, overlay: Overlay) -> "Degree":
        """Count."""
        degrees = sorted(len(overlay.peers(node)) for node in range(overlay.nodes))
        rank = -(-99 * len(degrees) // 100) - 1
        return cls(
            sum(degrees) / len(degrees), degrees[0], degrees[len(degrees) // 2], degrees[rank], degrees[-1]
        )


def degrees(overlay: Overlay) -> dict[int, int]:
    """How many nodes have how many tunnels."""
    return dict(sorted(Counter(len(overlay.peers(node)) for node in range(overlay.nodes)).items()))


def spread(rtt_us: Iterable[int]) -> Spread:
    """Of all pairs; a node's RTT to itself is 0 and left out, as is -1 for no route."""
    values = array("d", [us for us in rtt_us if us > 0])
    mean_us = sum(values) / len(values) if values else math.nan
    return Spread(mean_us / 1000, quantile(values, 0.5) / 1000, quantile(values, 0.99) / 1000)


def path_figures(paths: Paths, reference: Reference, destinations: int) -> PathFigures:
    """Compare an overlay's paths with what they could be; all rows belong to the same destinations."""
    rtt = spread(paths.rtt_us)
    best = _ratios(paths, reference.best_us)
    direct = _ratios(paths, reference.direct_us)
    routed = len(direct) or math.nan
    return PathFigures(
        mean_ms=rtt.mean_ms,
        median_ms=rtt.median_ms,
        p99_ms=rtt.p99_ms,
        median_ratio_best=quantile(best, 0.5),
        p99_ratio_best=quantile(best, 0.99),
        median_ratio_direct=quantile(direct, 0.5),
        faster_than_direct=sum(map((1.0).__gt__, direct)) / routed,
        mean_hops=(sum(paths.hops) + paths.hops.count(-1)) / routed,
        reachable=len(direct) / (len(paths.rtt_us) - destinations),
    )


def _ratios(paths: Paths, reference_us: "array[int]") -> "array[float]":
    """Of the pairs with a route, no node with itself; of millions, so without a loop of our own."""
    return array("d", filter((0.0).__lt__, map(truediv, paths.rtt_us, reference_us)))
