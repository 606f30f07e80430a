"""The clocks of two nodes are wrong by a day: they join, have tunnels like the others, and say what is wrong.

    registry   n1   n2   ahead   behind        a day each, by faketime

Expected: both enrol; within 30 s of the start of the daemons each has tunnels to n1 and n2, reaches them and
is reached; the tunnels hold while the clocks go on being wrong; the nodes' logs say so.
"""

import asyncio

from netns_lab.scenarios.scenario import Scenario
from netns_lab.stage.conditions import all_reach, tunnels_of
from netns_lab.stage.stage import Stage
from re6st_core.errors import RouterError

RIGHT, WRONG = ("n1", "n2"), ("ahead", "behind")
HOLD_S = 10.0


async def play(stage: Stage) -> None:
    """Let them join, wait for their tunnels, read what they say."""
    await stage.form(without=WRONG)
    enrolled = [node for node in WRONG if await joins(stage, node)]
    stage.figure("enrolled", len(enrolled), at_least=len(WRONG))
    for node in enrolled:
        stage.start_daemon(node)
        stage.flow(node, "n1")
    with stage.step("the nodes whose clocks are right reach each other"):
        await stage.wait_for(all_reach(RIGHT), within_s=60)
    with stage.step("the others get tunnels too"):
        times = await asyncio.gather(*(reached(stage, node) for node in enrolled))
    took_s = dict(zip(enrolled, times, strict=True))
    for node in WRONG:
        stage.figure(f"tunnels_of_{node}", await active(stage, node, enrolled), at_least=len(RIGHT))
        stage.figure(f"reached_{node}", took_s.get(node), "s", at_most=30)
    with stage.step("it stays so"):
        await asyncio.sleep(HOLD_S)  # the story: the clocks go on being wrong
    for node in WRONG:
        held = await active(stage, node, enrolled)
        stage.figure(f"tunnels_of_{node}_later", held, at_least=len(RIGHT))
        said = [line for line in stage.mesh.log(node).read_text().splitlines() if "clock" in line.lower()]
        stage.figure(f"{node}_says_so", len(said), "lines", at_least=1)
        if said:
            stage.event(f"{node}: {said[-1]}")
    await stage.wait_for(all_reach(RIGHT), within_s=30)


async def reached(stage: Stage, node: str) -> float | None:
    """Seconds until a node has its tunnels and all reach it."""
    return await stage.time_until(tunnels_of(node, to=RIGHT) & all_reach([node, *RIGHT]), within_s=30)


async def joins(stage: Stage, node: str) -> bool:
    """Whether a node gets a certificate; why not is told."""
    try:
        await stage.join(node)
    except RouterError as exc:
        stage.event(f"{node} does not join: {exc}")
        return False
    return True


async def active(stage: Stage, node: str, enrolled: list[str]) -> int:
    """How many tunnels a node has; none if it could not even join."""
    tunnels = await stage.mesh.tunnels(node) if node in enrolled else []
    return sum(tunnel.active for tunnel in tunnels)


SCENARIO = Scenario(
    "two nodes whose clocks are a day ahead and a day behind",
    "clock_wrong.toml",
    play,
)
