"""What must hold of every mesh that has been left alone for a minute."""

from collections.abc import Iterable, Sequence

from netns_lab.model.mesh import Mesh
from netns_lab.model.node import Node
from re6stnet.engine.negotiation import MAX_NONCES, MAX_TUNNELS
from re6stnet.engine.peers import MAX_PEERS
from re6stnet.engine.tunnel import State

SETTLED_S = 40.0
"""Longer than any state's deadline: a tunnel that has not moved for so long is not on its way."""
MAX_SHOWN = 3


def problems(mesh: Mesh, groups: Iterable[Sequence[Node]]) -> list[str]:
    """Everything that is wrong, one line each; ``groups``: nodes that must reach each other."""
    found = [f"exception: {mistake}" for mistake in mesh.mistakes[:MAX_SHOWN]]
    for group in groups:
        unreached = sorted(mesh.unreached(group))
        if unreached:
            names = ", ".join(
                f"{mesh.nodes[a].name} to {mesh.nodes[b].name}" for a, b in unreached[:MAX_SHOWN]
            )
            found.append(f"{len(unreached)} pairs do not reach each other: {names}")
    for node in mesh.nodes:
        if node.engine is not None:
            found += [f"{node.name}: {text}" for text in _of_node(mesh, node)]
    return found


def _of_node(mesh: Mesh, node: Node) -> list[str]:
    engine = node.engine
    assert engine is not None, "the caller has looked"
    found = []
    tunnels = list(engine.tunnels)
    if len(tunnels) > MAX_TUNNELS:
        found.append(f"holds {len(tunnels)} tunnels")
    accepted = sum(not t.initiator for t in tunnels)
    if accepted > engine.tunnels.max_clients:
        found.append(f"has accepted {accepted} tunnels")
    peers = [t.peer for t in tunnels]
    if len(peers) != len(set(peers)):
        found.append("holds two tunnels with one peer")
    for tunnel in tunnels:
        peer = mesh.by_prefix[tunnel.peer]
        settled = mesh.now - tunnel.since > SETTLED_S
        known = peer.engine is None or peer.engine.tunnels.get(tunnel.nonce) is not None
        if settled and not (peer.alive and known):
            found.append(
                f"has held {tunnel.nonce[:8]} for {mesh.now - tunnel.since:.0f} s, {peer.name} does not"
            )
        if settled and tunnel.state is not State.ACTIVE:
            found.append(f"tunnel {tunnel.nonce[:8]} has been {tunnel.state.value} for too long")
    if missing := {t.nonce for t in tunnels if t.state is State.ACTIVE and not node.tunnels.holds(t.nonce)}:
        found.append(f"believes in {len(missing)} tunnels that do not exist")
    if len(engine.peers) > MAX_PEERS or engine.tunnels.remembered > 2 * MAX_NONCES:
        found.append("its books grow without bound")
    gone = [p for p in engine.routes.reachable if not mesh.by_prefix[p].alive]
    if gone:
        found.append(f"has routes to {len(gone)} nodes that are dead")
    timer = engine.next_timer()
    if timer is None or timer < mesh.now - 1.0:
        found.append(f"its timer stands at {timer}")
    return found
