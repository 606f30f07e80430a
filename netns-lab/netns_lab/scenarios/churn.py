"""Nodes come and go until 500 tunnels were opened and closed, and those that stay are as they were.

    stays1  stays2  stays3  stays4  stays5  stays6
       \\       \\       \\     /       /       /
        +-------+--- comes1 comes2 comes3 ---+       six tunnels each, again and again

Expected: 500 tunnels within 5 minutes; then the nodes that stay have the routes, interfaces, processes and
open files that they had before, the same babeld, and not more than 4 MB more memory each.  What they send
each other is not lost.
"""

import asyncio
import contextlib
import os
from dataclasses import dataclass, fields

from netns_lab.cleanup import processes_inside
from netns_lab.scenarios.scenario import NotYet, Scenario
from netns_lab.stage.conditions import all_reach, full_mesh, tunnels_of
from netns_lab.stage.stage import Stage
from re6st_core.errors import RouterError

STAY = tuple(f"stays{i}" for i in range(1, 7))
COME = tuple(f"comes{i}" for i in range(1, 4))
TUNNELS = 500
WITHIN_S = 300.0
GIVE_UP_S = 420.0
LOOK_EVERY_S = 1.0  # each look is a process: work that would slow down what is looked at


@dataclass(frozen=True, slots=True)
class Held:
    """What a node holds of its machine, beyond what its tunnels of that moment need."""

    memory_mb: float
    files: int
    routes: int  # of Babel
    interfaces: int  # besides one per tunnel
    processes: int  # besides one per tunnel


async def play(stage: Stage) -> None:
    """Let three nodes come and go; count; compare."""
    await stage.form()
    with stage.step("the mesh forms"):
        await stage.wait_for(full_mesh, within_s=90)
    await leave(stage)
    before = {node: await held(stage, node) for node in STAY}
    babelds = await babeld_pids(stage)
    flow = stage.flow("stays1", "stays2")
    began_s, opened = stage.now(), 0
    with stage.step(f"{TUNNELS} tunnels") as step:

        async def come_and_go(node: str) -> None:
            nonlocal opened
            while opened < TUNNELS and stage.now() - began_s < GIVE_UP_S:
                stage.mesh.start(node)
                count = await tunnels_once_up(stage, node)
                opened += count  # only now: others have counted meanwhile
                step.progress(f"{opened} were opened")
                await stage.mesh.stop(node)

        await stage.together(come_and_go(node) for node in COME)
    took_s = stage.now() - began_s
    await stage.wait_for(all_reach(STAY), within_s=30)
    with stage.step("what those hold that stay"):
        growth = await growth_once_quiet(stage, before)
    flow.stop()
    stage.figure("tunnels", opened, at_least=TUNNELS)
    stage.figure("seconds", took_s, "s", at_most=WITHIN_S)
    for name, value in growth.items():
        stage.figure(f"{name}_more", value, at_most=4 if name == "memory_mb" else 0)
    stage.figure("babeld_died", len(babelds - await babeld_pids(stage)), at_most=0)
    stage.figure("lost_between_those_that_stay", flow.packets.lost(), at_most=0)


async def tunnels_once_up(stage: Stage, node: str) -> int:
    """How many tunnels a node has once it has as many as it wants; RouterError when it does not get them."""
    has = 0
    for _ in range(40):
        await asyncio.sleep(LOOK_EVERY_S)
        with contextlib.suppress(RouterError):  # it does not listen yet
            has = sum(tunnel["state"] == "active" for tunnel in (await stage.status(node))["tunnels"])
        if has >= len(STAY):
            return has
    raise RouterError(f"{node} has {has} tunnels, not {len(STAY)}")


async def babeld_pids(stage: Stage) -> set[int]:
    """The babelds of those that stay."""
    return {(await stage.status(node))["daemon"]["babeld_pid"] for node in STAY}


async def leave(stage: Stage) -> None:
    """Those that come and go are stopped."""
    for node in COME:
        await stage.stop_daemon(node)
    with stage.step("those that stay have forgotten them"):
        for node in STAY:
            await stage.wait_for(tunnels_of(node, never_to=COME), within_s=60)


async def growth_once_quiet(stage: Stage, before: dict[str, Held]) -> dict[str, float]:
    """The largest growth of each kind on any node, when everything that ends has had 20 s to do so."""
    growth: dict[str, float] = {}
    for _ in range(20):
        after = {node: await held(stage, node) for node in STAY}
        growth = {
            field.name: max(getattr(after[n], field.name) - getattr(before[n], field.name) for n in STAY)
            for field in fields(Held)
        }
        if all(value <= 0 for name, value in growth.items() if name != "memory_mb"):
            break
        await asyncio.sleep(1)
    return growth


async def held(stage: Stage, node: str) -> Held:
    """Look at a node's machine from outside."""
    machine, pid = stage.mesh.machine(node), stage.mesh.daemon_pid(node)
    log = stage.mesh.log(node)
    babel = ["ip", "-6", "route", "show", "table", "all", "proto", "babel"]
    tunnels = len((await stage.status(node))["tunnels"])
    return Held(
        memory_mb=stage.mesh.rss_mb(node),
        files=len(os.listdir(f"/proc/{pid}/fd")),
        routes=len((await machine.call(babel, log=log)).splitlines()),
        interfaces=len((await machine.call(["ip", "-o", "link"], log=log)).splitlines()) - tunnels,
        processes=len(list(processes_inside({machine.path.stat().st_ino}))) - tunnels,
    )


SCENARIO = Scenario(
    "500 tunnels are opened and closed, and nothing of them stays",
    "churn.toml",
    play,
    not_yet=NotYet(
        {
            "lost_between_those_that_stay": "534 of 44,315: one gap of 5.3 s",
            "babeld_died": "3 of 6, by signal 11, or killed because it answered no command for 10 s",
            "seconds": "391 s on two processors with as many others waiting for them",
            "routes_more": "10 once, after babeld had been replaced twice",
        },
        "babeld 1.12.1 keeps neighbours of an interface that was flushed: it then tells of them with a name "
        "that is garbage, cannot authenticate packets to them, hangs or dies",
        4,
        sometimes=True,
    ),
    client_count=6,
    within_s=600,
)
