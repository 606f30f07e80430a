r"""The tunnel that carries a flow is ended and replaced, again and again, and the flow does not notice.

    n1 === n5                n1 sends to n5; every 3 s it ends the tunnel to the first node on the way,
     \    /                be that n5 itself or a relay; all are equally far from each other
      n2 .. n8

Expected: of 20 tunnels most can be ended (n1 and the node at the other end keep one that somebody is reached
through alone), and of 100 packets a second at most one is lost each time, mostly none.
"""

import asyncio

from netns_lab.scenarios.scenario import Scenario
from netns_lab.stage.conditions import full_mesh
from netns_lab.stage.flow import Flow
from netns_lab.stage.stage import Stage
from re6st_core.errors import RouterError

ROTATIONS = 20
EVERY_S = 3.0
ENDED_AT_LEAST = 15


async def play(stage: Stage) -> None:
    """Rotate for a minute, then count."""
    await stage.form()
    with stage.step("the mesh forms"):
        await stage.wait_for(full_mesh, within_s=60)
    await asyncio.sleep(5)  # until nothing moves any more that is not part of the story
    flow = stage.flow("n1", "n5")
    with stage.step(f"{ROTATIONS} tunnels that carry the flow are to end") as step:
        began, ended = [], set[str]()
        for number in range(ROTATIONS):
            began.append(stage.now())
            if (tunnel := await rotate(stage, flow)) is not None:
                ended.add(tunnel)
            step.progress(f"{number + 1} were asked for")
            await asyncio.sleep(max(0.0, began[-1] + EVERY_S - stage.now()))
    with stage.step("the last one is over"):
        await stage.settled()
    ended -= {t["tunnel"] for t in (await stage.status("n1"))["tunnels"] if t["state"] == "active"}
    flow.stop()
    lost = [flow.packets.lost(since_s, since_s + EVERY_S) for since_s in began]
    stage.figure("tunnels_ended", len(ended), f"of {ROTATIONS}", at_least=ENDED_AT_LEAST)
    stage.figure("most_lost_in_one_rotation", max(lost), at_most=1)
    stage.figure("lost_in_all", flow.packets.lost(began[0]), at_most=ROTATIONS // 2)
    stage.figure("rotations_without_loss", sum(not n for n in lost), f"of {ROTATIONS}", at_least=15)


async def rotate(stage: Stage, flow: Flow) -> str | None:
    """Have n1 end the tunnel that its packets go into; None if it says that it cannot do without."""
    status = await stage.status(flow.a)
    cn = stage.mesh.cns[flow.b]
    subnet = (await stage.status(flow.b))["identity"]["subnet"]
    peers = [r["peer"] for r in status["routes"] if r["installed"] and r["destination"] == subnet]
    active = {t["peer"]: t["tunnel"] for t in status["tunnels"] if t["state"] == "active"}
    if not peers or peers[0] not in active:
        stage.event(f"no active tunnel leads to {cn}")
        return None
    try:
        said = await stage.mesh.ask(flow.a, "rotate", peers[0])
    except RouterError as exc:
        stage.event(f"n1 keeps its tunnel with {peers[0]}: {exc}")
        return None
    stage.event(said.strip())
    return str(active[peers[0]])


SCENARIO = Scenario(
    "the tunnel that carries a flow is replaced every 3 s", "rotation.toml", play, client_count=5
)
