r"""The path between two nodes comes and goes, and what they send goes around it.

    a --20 ms, flapping-- b
     \                   /
      +--40 ms- r -40 ms-+

Expected: each time the path is cut, the flow goes on over r within 1.0 s; what is cut off longer than that
does not take other tunnels with it.  When the path stays, the direct way is used again within 30 s.
"""

from netns_lab.scenarios.scenario import Scenario
from netns_lab.stage.conditions import every_tunnel, full_mesh, way_is
from netns_lab.stage.stage import Stage

NODES = ("a", "b", "r")
TIMES = 5
DOWN_S, UP_S = 4.0, 4.0


async def play(stage: Stage) -> None:
    """Cut and heal, measure every time."""
    await stage.form()
    straight = way_is("a", "b") & way_is("b", "a") & way_is("a", "r") & way_is("r", "a")
    with stage.step("every node has a tunnel to every other, and a sends straight to b"):
        await stage.wait_for(full_mesh & every_tunnel(NODES) & straight, within_s=60)
    flow, other = stage.flow("a", "b"), stage.flow("a", "r")
    await stage.settled()
    since_s = stage.now()
    await stage.flap("a", "b", times=TIMES, down_s=DOWN_S, up_s=UP_S)
    with stage.step("a sends straight to b again"):
        back_s = await stage.time_until(way_is("a", "b"), within_s=60)
        await stage.settled()
    for each in (flow, other):
        each.stop()
    stage.figure("flaps", TIMES)
    stage.figure("blackout_max", flow.packets.blackout_s(since_s), "s", at_most=1.0)
    stage.figure("lost_on_the_other_tunnel", other.packets.lost(), at_most=0)
    stage.figure("changes_of_the_way", len(flow.track.changes) - 1, at_most=2 * TIMES)
    stage.figure("direct_again", back_s, "s", at_most=30)


SCENARIO = Scenario(
    "the path between two nodes flaps, and a third one carries on",
    "triangle.toml",
    play,
)
