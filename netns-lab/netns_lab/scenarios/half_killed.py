"""Half of the nodes lose their power at the same moment.

        n1 - n2 - n3 - n4
        |               |        n2, n4, n6 and n8 die
        n8 - n7 - n6 - n5

Expected: within 5 s the others reach each other, by new tunnels where they had none, and nothing is routed
to the dead.
"""

from netns_lab.scenarios.scenario import Scenario
from netns_lab.stage.conditions import all_reach, full_mesh, no_route_through
from netns_lab.stage.stage import Stage

DIE, LIVE = ("n2", "n4", "n6", "n8"), ("n1", "n3", "n5", "n7")


async def play(stage: Stage) -> None:
    """Kill, and wait for the rest."""
    await stage.form()
    with stage.step("the mesh forms"):
        await stage.wait_for(full_mesh, within_s=60)
    flows = [stage.flow(a, b) for a, b in (("n1", "n5"), ("n3", "n7"), ("n1", "n3"))]
    await stage.settled()
    since_s = stage.now()
    await stage.kill(*DIE)
    with stage.step("the living reach each other"):
        again_s = await stage.wait_for(all_reach(LIVE), within_s=120)
    no_route = no_route_through(DIE[0])
    for node in DIE[1:]:
        no_route &= no_route_through(node)
    with stage.step("nothing is routed to the dead"):
        await stage.wait_for(no_route & all_reach(LIVE), within_s=60)
    await stage.settled()
    for flow in flows:
        flow.stop()
    blackouts = [flow.packets.blackout_s(since_s) for flow in flows]
    stage.figure("living_reach_each_other", again_s, "s", at_most=5)
    stage.figure("blackout_max", max(blackouts), "s", at_most=5)


SCENARIO = Scenario("half of the nodes die at once, and the rest goes on", "eight_public.toml", play)
