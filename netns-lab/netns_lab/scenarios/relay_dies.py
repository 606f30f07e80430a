"""The relay that carries a flow dies silently, again and again: the flow finds the other relay.

    a --10 ms-- r1 --10 ms-- b
    a --30 ms-- r2 --30 ms-- b
    a ---------120 ms--------- b       directly

Expected: a sends to b by a relay; when the switch drops everything to and from that relay, while its carrier
stays up, the flow goes on by the other one within 1.0 s (95 % of the trials), and nothing is routed to it.
"""

from netns_lab.scenarios.scenario import Scenario
from netns_lab.stage.conditions import every_tunnel, full_mesh, no_route_through, reachable
from netns_lab.stage.figures import percentile
from netns_lab.stage.stage import Stage

TRIALS = 20
ENOUGH_S = 60.0  # trials are given up then: slow ones are few, and tell as much
FEWEST = 3
NODES = ("a", "b", "r1", "r2")


async def play(stage: Stage) -> None:
    """Silence the relay in use, measure, revive it, and again."""
    blackouts = await deaths_of_the_relay(stage)
    stage.figure("trials", len(blackouts))
    stage.figure("blackout_p95", percentile(blackouts, 95), "s", at_most=1.0)


async def deaths_of_the_relay(stage: Stage) -> list[float]:
    """The longest time without traffic of each trial, seconds."""
    await stage.form()
    with stage.step("every node has a tunnel to every other"):
        await stage.wait_for(full_mesh & every_tunnel(NODES), within_s=60)
    flow = stage.flow("a", "b")
    blackouts: list[float] = []
    began = stage.now()
    while len(blackouts) < TRIALS and (len(blackouts) < FEWEST or stage.now() - began < ENOUGH_S):
        relay = await stage.relay("a", "b")
        since_s = stage.now()
        stage.silence(relay)
        await stage.wait_for(reachable("a", "b"), within_s=60)
        await stage.settled()
        blackouts.append(flow.packets.blackout_s(since_s))
        stage.event(f"{relay} died: nothing came through for {blackouts[-1]:.2f} s")
        if len(blackouts) == 1:
            await stage.wait_for(no_route_through(relay), within_s=60)
        stage.revive(relay)
        await stage.wait_for(full_mesh & every_tunnel(NODES), within_s=60)
    flow.stop()
    return blackouts


SCENARIO = Scenario(
    "the relay in use dies silently, and the flow goes on by another", "two_relays.toml", play
)
