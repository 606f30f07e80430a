"""A LAN loses the Internet, its nodes are restarted and remember nothing: they still reach each other.

    registry   far   ---x x x---   [NAT]  LAN:  a   b      re6stnet --interface net0
                                                c   d      not told of the LAN

Expected: while the Internet is away all four reach each other; restarted without what they remember, they do
so again within 15 s, told of the LAN or not (they discover each other there).
"""

import asyncio

from netns_lab.scenarios.scenario import NotYet, Scenario
from netns_lab.stage.conditions import all_reach, full_mesh
from netns_lab.stage.stage import Stage

TOLD, UNTOLD = ("a", "b"), ("c", "d")
HOME = (*TOLD, *UNTOLD)
WITHIN_S = 15.0


async def play(stage: Stage) -> None:
    """Form the mesh, silence the site, restart with memory and then without."""
    await stage.form()
    for a, b in (TOLD, UNTOLD):
        stage.flow(a, b)
    with stage.step("all reach each other"):
        await stage.wait_for(full_mesh, within_s=60)
    stage.silence("a")  # and all of its site
    await look(stage, "without_internet")
    await restart(stage, forget=False)
    await look(stage, "restarted")
    await restart(stage, forget=True)
    await look(stage, "without_memory")
    stage.revive("a")
    with stage.step("the Internet is back, and all reach each other"):
        back_s = await stage.time_until(full_mesh, within_s=60)
    stage.figure("all_with_the_internet_back", back_s, "s", at_most=60)


async def look(stage: Stage, when: str) -> None:
    """Wait until those told of the LAN reach each other, and those who were not."""
    with stage.step(f"they reach each other {when.replace('_', ' ')}"):
        told_s, untold_s = await asyncio.gather(
            *(stage.time_until(all_reach(nodes), within_s=WITHIN_S) for nodes in (TOLD, UNTOLD))
        )
    stage.figure(f"told_{when}", told_s, "s", at_most=WITHIN_S)
    stage.figure(f"untold_{when}", untold_s, "s", at_most=WITHIN_S)


async def restart(stage: Stage, *, forget: bool) -> None:
    """Stop all daemons of the LAN and start them again."""
    for node in HOME:
        await stage.stop_daemon(node)
        if forget:
            stage.forget(node)
    for node in HOME:
        stage.start_daemon(node)


_NEVER = "not within 15 s"

SCENARIO = Scenario(
    "a LAN without the Internet",
    "lan_only.toml",
    play,
    not_yet=NotYet(
        {
            "untold_without_internet": _NEVER,
            "untold_restarted": _NEVER,
            "untold_without_memory": _NEVER,
            "told_without_memory": "not within 15 s: a node without parameters waits for the registry",
        },
        "nodes do not discover each other on a LAN, nor learn the network's parameters there",
        5,
    ),
)
