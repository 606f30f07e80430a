"""A certificate is revoked, and its holder is cut off by all.

    registry      n1 -- n2
                   |  x  |        n2 is revoked
                  n3 -- n4

Expected: within 5 s of the operator's command, no node has a tunnel to n2 and nothing that n2 sends is
answered; the others do not lose a packet.  At the latest, a node that is restarted knows.
"""

from netns_lab.scenarios.scenario import NotYet, Scenario
from netns_lab.stage.conditions import (
    Condition,
    all_reach,
    every_tunnel,
    full_mesh,
    revocation_published,
    tunnels_of,
)
from netns_lab.stage.stage import Stage

HONEST = ("n1", "n3", "n4")
PATIENCE_S = 15.0


async def play(stage: Stage) -> None:
    """Revoke; if nobody hears of it, let them ask."""
    await stage.form()
    with stage.step("every node has a tunnel to every other"):
        await stage.wait_for(full_mesh & every_tunnel(stage.nodes), within_s=60)
    revoked, honest = stage.flow("n2", "n1"), stage.flow("n1", "n3")
    await stage.revoke("n2")
    since_s = stage.now()
    cut_off = no_tunnel_to("n2")
    with stage.step("the others cut n2 off"):
        cut_s = await stage.time_until(cut_off, within_s=PATIENCE_S)
    await stage.settled()
    stage.figure("cut_at_every_neighbour", cut_s, "s", at_most=5)
    stage.figure("lost_between_others", honest.packets.lost(), at_most=0)
    if cut_s is None:
        await restart_all(stage)
        with stage.step("n2 is cut off once the others have the new parameters"):
            await stage.wait_for(cut_off, within_s=60)
    await stage.wait_for(all_reach(HONEST), within_s=30)
    quiet_since_s = stage.now()
    await stage.settled()
    answered = await stage.first_answer(revoked, quiet_since_s, within_s=1)
    stage.expect(answered is None, "n2 is still answered")
    last_s = revoked.packets.last_answered_s
    stage.figure("answered_after_revocation", None if last_s is None else max(0.0, last_s - since_s), "s")


def no_tunnel_to(node: str) -> Condition:
    """None of the honest has one, nor tries."""
    first, *others = (tunnels_of(each, never_to=[node]) for each in HONEST)
    for other in others:
        first &= other
    return first


async def restart_all(stage: Stage) -> None:
    """A daemon asks the registry for the parameters when it starts."""
    await stage.wait_for(revocation_published, within_s=20)
    for node in HONEST:
        await stage.kill_daemon(node)
        stage.start_daemon(node)


SCENARIO = Scenario(
    "a revoked node is cut off by its neighbours",
    "four_public.toml",
    play,
    not_yet=NotYet(
        {"cut_at_every_neighbour": "not within 15 s; 5 s after the neighbours' restart"},
        "a node hears of new parameters from the registry only, about once an hour and at its start",
        4,
    ),
)
