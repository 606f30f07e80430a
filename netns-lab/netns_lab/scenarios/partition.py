"""The Internet falls in two, each half goes on by itself, and they become one again.

    registry  w1  w2  w3   x x x   e1  e2  e3

Expected: nothing is lost inside a half, also in the one without the registry, for the 40 s that it lasts; a
node of that half that is restarted meanwhile is back within 5 s.  5 s after the halves are united, every
pair answers.
"""

import asyncio

from netns_lab.scenarios.scenario import NotYet, Scenario
from netns_lab.stage.conditions import all_reach, every_tunnel, full_mesh, way_is
from netns_lab.stage.stage import Stage

WEST, EAST = ("w1", "w2", "w3"), ("e1", "e2", "e3")
LASTS_S = 40.0


async def play(stage: Stage) -> None:
    """Cut, restart a node on the side without a registry, unite."""
    await stage.form()
    straight = way_is("w1", "w2") & way_is("w2", "w1") & way_is("e1", "e2") & way_is("e2", "e1")
    with stage.step("the mesh forms, each half with tunnels inside"):
        await stage.wait_for(full_mesh & every_tunnel(WEST) & every_tunnel(EAST) & straight, within_s=60)
    inside = [stage.flow("w1", "w2"), stage.flow("e1", "e2")]
    across, restarted = stage.flow("w1", "e1"), stage.flow("e3", "e1")
    began_s = stage.now()
    stage.partition((stage.registry, *WEST), EAST)
    await stage.stop_daemon("e3")
    since_s = stage.now()
    stage.start_daemon("e3")
    back_s = await stage.first_answer(restarted, since_s, within_s=LASTS_S)
    await asyncio.sleep(began_s + LASTS_S - stage.now())  # the story: it lasts
    await stage.wait_for(all_reach(WEST) & all_reach(EAST), within_s=1)
    stage.unite((stage.registry, *WEST), EAST)
    healed_s = stage.now()
    with stage.step("the halves find each other"):
        whole_s = await stage.wait_for(full_mesh, within_s=120)
    for flow in stage.flows:
        flow.stop()
    stage.figure("lost_inside", sum(flow.packets.lost() for flow in inside), at_most=0)
    stage.figure("restarted_without_registry", back_s, "s", at_most=5)
    stage.figure(
        "first_answer_across", await stage.first_answer(across, healed_s, within_s=0), "s", at_most=5
    )
    stage.figure("whole_again", whole_s, "s", at_most=5)


SCENARIO = Scenario(
    "two halves of a network lose and find each other",
    "two_halves.toml",
    play,
    not_yet=NotYet(
        {"restarted_without_registry": "8.4 s"},
        "the start of a daemon, a negotiation and Babel's first hellos add up",
        4,
        sometimes=True,
    ),
)
