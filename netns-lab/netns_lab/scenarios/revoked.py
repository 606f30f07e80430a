"""A certificate is revoked, and its holder is cut off by all.

    registry      n1 -- n2
                   |  x  |        n2 is revoked
                  n3 -- n4

Expected: within 5 s of the operator's command, no node has a tunnel to n2 and nothing that n2 sends is
answered; the others do not lose a packet.
"""

from netns_lab.scenarios.scenario import Scenario
from netns_lab.stage.conditions import (
    Condition,
    all_reach,
    every_tunnel,
    full_mesh,
    tunnels_of,
)
from netns_lab.stage.stage import Stage

HONEST = ("n1", "n3", "n4")
PATIENCE_S = 15.0


async def play(stage: Stage) -> None:
    """Revoke, and look how long it takes until nobody has to do with n2 any more."""
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
    await stage.wait_for(all_reach(HONEST), within_s=30)
    quiet_since_s = stage.now()
    await stage.settled()
    answered = await stage.first_answer(revoked, quiet_since_s, within_s=1)
    stage.expect(answered is None, "n2 is still answered")
    last_s = revoked.packets.last_answered_s
    answered_s = None if last_s is None else max(0.0, last_s - since_s)
    stage.figure("answered_after_revocation", answered_s, "s", at_most=5)


def no_tunnel_to(node: str) -> Condition:
    """None of the honest has one, nor tries."""
    first, *others = (tunnels_of(each, never_to=[node]) for each in HONEST)
    for other in others:
        first &= other
    return first


SCENARIO = Scenario(
    "a revoked node is cut off by its neighbours",
    "four_public.toml",
    play,
)
