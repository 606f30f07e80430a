"""Every pair of kinds of NAT: all reach each other, and whoever can have a direct tunnel gets one.

    public1  public2          cone1  cone2        address1  address2      port1  port2
    symmetric1  symmetric2    carrier1  carrier2  linux1    linux2        noudp1 noudp2

Expected: all pairs answer.  Each node wants a tunnel to every other, so each pair that the table of
``netns_lab/boxes/nat_pairs.py`` calls possible has one by UDP within 45 s; the mesh carries the others.
"""

from collections import Counter
from itertools import combinations

from netns_lab.boxes.behaviour import BLOCKED_UDP
from netns_lab.boxes.nat_pairs import expected_direct
from netns_lab.scenarios.scenario import NotYet, Scenario
from netns_lab.stage.conditions import direct_tunnels, full_mesh
from netns_lab.stage.stage import Stage
from netns_lab.topology import Topology

Kinds = tuple[str, str]


async def play(stage: Stage) -> None:
    """Form the mesh, then count direct tunnels against the table."""
    topology = stage.lab.topology
    await stage.form()
    stage.flow("symmetric1", "symmetric2")
    stage.flow("cone1", "port1")
    with stage.step("all reach each other"):
        took_s = await stage.time_until(full_mesh, within_s=90)
    silent = [] if took_s is not None else await stage.missing(full_mesh)
    pairs = list(combinations(stage.nodes, 2))
    stage.figure("all_reach_each_other", took_s, "s")
    stage.figure("pairs_that_answer", 2 * len(pairs) - len(silent), at_least=2 * len(pairs))
    possible = [pair for pair in pairs if expected_direct(*(kind_of(topology, node) for node in pair))]
    direct = direct_tunnels(possible)
    with stage.step(f"direct tunnels of {len(possible)} pairs that can have one"):
        tunnels_s = await stage.time_until(direct, within_s=45)
    have = set(possible)
    if tunnels_s is None:
        lacking = set(await stage.missing(direct))
        have -= {(a, b) for a, b in possible if f"no direct tunnel {a}-{b}" in lacking}
    all_kinds = Counter(kinds_of(topology, *pair) for pair in possible)
    had_kinds = Counter(kinds_of(topology, *pair) for pair in have)
    for kinds, count in sorted(all_kinds.items()):
        stage.event(f"{kinds[0]} - {kinds[1]}: {had_kinds[kinds]} of {count} direct")
    with_public = [
        pair for pair in possible if None in (kind_of(topology, pair[0]), kind_of(topology, pair[1]))
    ]
    stage.figure("direct_tunnels_to_public_nodes", len(have & set(with_public)), at_least=len(with_public))
    between = [pair for pair in possible if pair not in with_public]
    stage.figure("direct_tunnels_between_nats", len(have & set(between)), at_least=len(between))
    stage.figure("pairs_without_possible_udp_tunnel", len(pairs) - len(possible))


def kind_of(topology: Topology, node: str) -> str | None:
    """What is between a node and the Internet, in the words of the table; None: nothing."""
    site = topology.site_of(node)
    return BLOCKED_UDP if "udp" in site.blocked else site.nat


def kinds_of(topology: Topology, a: str, b: str) -> Kinds:
    """What the two ends of a pair are behind, in words and in order."""
    first, second = sorted(kind_of(topology, node) or "public" for node in (a, b))
    return first, second


SCENARIO = Scenario(
    "all pairs of kinds of NAT",
    "nat_matrix.toml",
    play,
    not_yet=NotYet(
        {"direct_tunnels_between_nats": "0 of 53; the public nodes carry what they send to each other"},
        "two nodes behind NATs do not try to open a tunnel: the node does not punch",
        5,
    ),
    client_count=16,
)
