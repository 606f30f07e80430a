r"""The keys that authenticate Babel change while packets flow.

    a --20 ms-- b
     \         /        every Babel packet on every tunnel carries a MAC (RFC 8967)
      +-- r --+

Expected: everything that babeld sends is authenticated; three times the key is changed by the operator, and
the flow between a and b, on the tunnel whose key changes, loses nothing.
"""

import asyncio

from netns_lab.scenarios.scenario import Scenario
from netns_lab.stage.capture import BABEL_PORT, Capture, Datagram, has_mac_untrusted
from netns_lab.stage.conditions import every_tunnel, full_mesh, way_is
from netns_lab.stage.stage import Stage
from re6st_core.errors import WireError

NODES = ("a", "b", "r")
ROTATIONS = 3
AFTER_S, HOLD_S = 8, 6.0


async def play(stage: Stage) -> None:
    """Listen to Babel while the key is changed three times."""
    await stage.form()
    with stage.step("every node has a tunnel to every other"):
        await stage.wait_for(full_mesh & every_tunnel(NODES) & way_is("a", "b"), within_s=60)
    flow = stage.flow("a", "b")
    seen = {True: 0, False: 0}

    def take(interface: str, datagram: Datagram) -> None:
        if datagram.to_port == BABEL_PORT:
            try:
                seen[has_mac_untrusted(datagram.payload)] += 1
            except WireError as exc:
                stage.expect(False, f"on {interface}: {exc}")

    rotations = 0
    with Capture(stage.mesh.machine("a"), take):
        for _ in range(ROTATIONS):
            rotations += await rotated(stage)
    await stage.settled()
    total = seen[True] + seen[False]
    stage.expect(total > 0, "no Babel packet was seen")
    stage.figure("babel_packets", total)
    stage.figure("authenticated", 100 * seen[True] / max(total, 1), "%", at_least=100)
    stage.figure("rotations", rotations, at_least=ROTATIONS)
    stage.figure("lost", flow.packets.lost(), at_most=0)


async def rotated(stage: Stage) -> bool:
    """Change the key, and let some hellos pass with it; whether every node uses the new one, as it says."""
    epoch = await stage.mesh.rotate_key(AFTER_S)
    with stage.step(f"the operator changes the key, the new one is number {epoch}"):
        await asyncio.sleep(AFTER_S + HOLD_S)  # the story: the moment comes, and passes
    states = [await stage.status(node) for node in NODES]
    return all(state["membership"]["babel_key"] == epoch for state in states)


SCENARIO = Scenario(
    "Babel's packets are authenticated, and their key changes without loss",
    "triangle.toml",
    play,
)
