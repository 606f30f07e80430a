"""The daemon of the relay in use is killed, stays away for a minute and comes back, under traffic.

    a --10 ms-- r1 --10 ms-- b
    a --30 ms-- r2 --30 ms-- b
    a ---------120 ms--------- b       directly

Expected: not one packet is lost and the processes of tunnels and babeld are the same before and after,
while the daemon is another one.  Afterwards the silent death of that relay is survived within 1.0 s, as
ever.
"""

import asyncio
from typing import Any

from netns_lab.scenarios.scenario import Scenario
from netns_lab.stage.conditions import every_tunnel, full_mesh, reachable, relayed
from netns_lab.stage.stage import Stage

NODES = ("a", "b", "r1", "r2")
AWAY_S = 60.0


async def play(stage: Stage) -> None:
    """Kill, wait, start, look; then let the relay die."""
    await stage.form()
    with stage.step("every node has a tunnel to every other"):
        await stage.wait_for(full_mesh & every_tunnel(NODES) & relayed("a", "b", by=1), within_s=60)
    relay = await stage.relay("a", "b")
    before = await stage.status(relay)
    flow = stage.flow("a", "b")
    await stage.kill_daemon(relay)
    with stage.step(f"the daemon of {relay} is away"):
        await asyncio.sleep(AWAY_S)  # the story: nobody is there for a while
    stage.start_daemon(relay)
    with stage.step("it adopts its tunnels"):
        await stage.wait_for(every_tunnel(NODES), within_s=60)
    after = await stage.status(relay)
    await stage.settled()
    stage.figure("lost", flow.packets.lost(), at_most=0)
    kept = children(before).items() & children(after).items()
    stage.figure("processes_changed", len(children(before)) - len(kept), at_most=0)
    stage.expect(after["daemon"]["pid"] != before["daemon"]["pid"], "the daemon is the same one")
    relay = await stage.relay("a", "b", within_s=30)
    since_s = stage.now()
    stage.silence(relay)
    await stage.wait_for(reachable("a", "b"), within_s=60)
    await stage.settled()
    stage.figure("blackout_when_the_relay_dies", flow.packets.blackout_s(since_s), "s", at_most=1.0)


def children(status: dict[str, Any]) -> dict[str, int]:
    """Processes that carry the node's traffic, by what they carry."""
    tunnels = {t["tunnel"]: t["pid"] for t in status["tunnels"] if t["pid"] and t["state"] == "active"}
    return {**tunnels, "babeld": status["daemon"]["babeld_pid"]}


SCENARIO = Scenario(
    "the daemon of a relay is killed and comes back after a minute",
    "two_relays.toml",
    play,
)
