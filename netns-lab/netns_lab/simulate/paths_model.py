"""The simulator's C functions in plain Python, one for one; tests hold them to this.  Pure.

Short and slow: nobody else should call it.
"""

import heapq
import math
from collections.abc import Sequence

from netns_lab.simulate.overlay import Arcs
from netns_lab.simulate.paths import INFINITE
from netns_lab.simulate.underlay import Places

_64 = (1 << 64) - 1


def model_routes(
    arcs: Arcs, cost: Sequence[int], rtt_us: Sequence[int], relay_us: int, destination: int
) -> tuple[dict[int, int], list[int], list[int]]:
    """Routes to one destination: how many go through each arc (those in use), RTT and hops of each node."""
    metric = {destination: 0}
    waiting = [(0, destination)]
    while waiting:
        known, node = heapq.heappop(waiting)
        if known > metric[node]:
            continue
        for arc in arcs.of(node):
            back, peer = arcs.back[arc], arcs.to[arc]
            offer = known + cost[back]
            if offer < metric.get(peer, INFINITE):
                metric[peer] = offer
                heapq.heappush(waiting, (offer, peer))
    carried: dict[int, int] = {}
    paths, hops = [-1] * arcs.nodes, [-1] * arcs.nodes
    paths[destination] = hops[destination] = 0
    for node in sorted(metric, key=metric.__getitem__):
        if node == destination:
            continue
        via = next(
            arc for arc in arcs.of(node) if metric.get(arcs.to[arc], INFINITE) + cost[arc] == metric[node]
        )
        hop = arcs.to[via]
        carried[via] = 1
        paths[node] = paths[hop] + rtt_us[via] + (relay_us if hop != destination else 0)
        hops[node] = hops[hop] + 1
    return carried, paths, hops


def model_pair_us(source: Places, a: int, b: int) -> int:
    """RTT between two places."""
    if a == b:
        return 0
    p, q = source.places[3 * a : 3 * a + 3], source.places[3 * b : 3 * b + 3]
    cosine = p[0] * q[0] + p[1] * q[1] + p[2] * q[2]
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    return int(
        source.access_us[a] + source.access_us[b] + angle * source.radian_us * _detour(source, a, b) + 0.5
    )


def _detour(source: Places, a: int, b: int) -> float:
    """By splitmix64 of the unordered pair."""
    z = (source.seed + (max(a, b) << 32 | min(a, b)) * 0x9E3779B97F4A7C15) & _64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & _64
    z = (z ^ z >> 27) * 0x94D049BB133111EB & _64
    return source.detours[(z ^ z >> 31) >> 52]


def model_best_us(rows_us: Sequence[Sequence[int]], source: int, relay_us: int) -> list[int]:
    """The best relay paths from one node over the complete graph."""
    best = list(rows_us[source])
    left = set(range(len(rows_us))) - {source}
    while left:
        relay = min(left, key=lambda node: (best[node], node))
        left.remove(relay)
        for node in left:
            best[node] = min(best[node], best[relay] + relay_us + rows_us[relay][node])
    return best
