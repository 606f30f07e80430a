"""The public address of a node changes under a flow, and so does that of a home router: the flows go on.

    registry    b -- moves         203.0.113.20 becomes 203.0.113.120
                b -- home [NAT]    203.0.113.30 becomes 203.0.113.130

Expected: nothing passes for 5 s at most; afterwards nothing is lost, and the tunnels are those that were
there, with their other end at the new address.  moves announces the new address within 30 s.
"""

import asyncio
from ipaddress import IPv4Address

from netns_lab.scenarios.scenario import Scenario
from netns_lab.stage.conditions import announces, every_tunnel, full_mesh, tunnels_of
from netns_lab.stage.stage import Stage

MOVED = {"moves": IPv4Address("203.0.113.120"), "home": IPv4Address("203.0.113.130")}
PATIENCE_S = 60.0
AFTER_S = 5.0


async def play(stage: Stage) -> None:
    """Change both addresses at the same time, each under a flow of its own."""
    await stage.form()
    with stage.step("there are tunnels"):
        wanted = every_tunnel(("b", "moves")) & tunnels_of("b", to=["home"])
        await stage.wait_for(full_mesh & wanted, within_s=60)
    flows = [stage.flow("b", node) for node in MOVED]
    await asyncio.sleep(1)  # of undisturbed traffic
    before = {node: await tunnels_to(stage, node) for node in MOVED}
    since_s = stage.now()
    for node, address in MOVED.items():
        stage.change_address(node, address)
    changed_s = stage.now()
    with stage.step("both flows go on, and moves announces its new address"):
        *_, announced_s = await asyncio.gather(
            *(stage.first_answer(flow, changed_s, within_s=PATIENCE_S) for flow in flows),
            stage.time_until(announces("moves", MOVED["moves"]), within_s=30),
        )
    with stage.step("they must be undisturbed again"):
        await asyncio.sleep(AFTER_S)
        await stage.settled()
    end_s = stage.now()
    for flow in flows:
        node = flow.b
        flow.stop()
        stage.figure(f"blackout_{node}", flow.packets.blackout_s(since_s), "s", at_most=5)
        stage.figure(f"lost_after_{node}", flow.packets.lost(end_s - AFTER_S), at_most=0)
        after = await tunnels_to(stage, node)
        kept = before[node].keys() & after.keys()
        stage.figure(f"tunnels_kept_{node}", len(kept), at_least=len(before[node]))
        stage.event(f"b reaches {node} at {', '.join(after.values()) or 'no address: no tunnel'}")
    stage.figure("announced", announced_s, "s", at_most=30)
    await stage.wait_for(full_mesh, within_s=60)


async def tunnels_to(stage: Stage, node: str) -> dict[str, str]:
    """Active tunnels that b has with a node: name -> endpoint."""
    return {
        tunnel["tunnel"]: tunnel["endpoint"]
        for tunnel in (await stage.status("b"))["tunnels"]
        if tunnel["peer"] == stage.mesh.cns[node] and tunnel["state"] == "active"
    }


SCENARIO = Scenario(
    "the address of a node, and that of a home router, changes",
    "address_change.toml",
    play,
)
