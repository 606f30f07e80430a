"""The daemon of the relay in use is replaced by its newest version, in place, under traffic; then it stops.

    a --10 ms-- r1 --10 ms-- b
    a --30 ms-- r2 --30 ms-- b
    a ---------120 ms--------- b       directly

Expected: ``re6st restart`` returns when the new daemon answers, within 15 s; not one packet is lost, the
processes of the daemon, its tunnels and babeld are the same before and after.  When the node that carries
the flow then stops, its peers have routed around it before it is gone: one packet is lost at most.
"""

from netns_lab.scenarios.daemon_killed import NODES, children
from netns_lab.scenarios.scenario import Scenario
from netns_lab.stage.conditions import every_tunnel, full_mesh, relayed
from netns_lab.stage.stage import Stage


async def play(stage: Stage) -> None:
    """Restart, look, count."""
    await stage.form()
    with stage.step("every node has a tunnel to every other"):
        await stage.wait_for(full_mesh & every_tunnel(NODES) & relayed("a", "b", by=1), within_s=60)
    relay = await stage.relay("a", "b")
    before = await stage.status(relay)
    flow = stage.flow("a", "b")
    began_s = stage.now()
    with stage.step(f"the daemon of {relay} is replaced") as step:
        step.progress((await stage.mesh.ask(relay, "restart")).strip().replace("\n", "; "))
    took_s = stage.now() - began_s
    with stage.step("it has all its tunnels"):
        await stage.wait_for(every_tunnel(NODES), within_s=60)
    after = await stage.status(relay)
    await stage.settled()
    lost = flow.packets.lost()
    relay = await stage.relay("a", "b", within_s=30)
    since_s = stage.now()
    with stage.step(f"{relay} stops"):
        await stage.stop_daemon(relay)
    await stage.settled()
    flow.stop()
    stage.figure("lost_when_it_stops", flow.packets.lost(since_s), at_most=1)
    stage.figure("seconds", took_s, "s", at_most=15)
    stage.figure("lost", lost, at_most=0)
    kept = children(before).items() & children(after).items()
    stage.figure("processes_changed", len(children(before)) - len(kept), at_most=0)
    stage.expect(after["daemon"]["pid"] == before["daemon"]["pid"], "the daemon is another process")
    stage.expect(after["daemon"]["uptime_s"] < before["daemon"]["uptime_s"], "the daemon is the old one")


SCENARIO = Scenario("the daemon of a relay is replaced in place", "two_relays.toml", play)
