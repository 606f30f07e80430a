"""The relay that carries a flow over TCP dies silently, again and again: the flow finds the other relay.

    a --10 ms-- r1 --10 ms-- b     r1 and r2 use OpenVPN over TCP only
    a --30 ms-- r2 --30 ms-- b
    a ---------120 ms--------- b   WireGuard

Expected: a sends to b by a relay; when the switch drops everything to and from that relay, the flow goes on
by the other one, or directly, within 4 s (each trial), whether a and b are its clients or its servers.
A server's clients share its device, so that Babel's hellos must tell there.
"""

from netns_lab.scenarios.relay_dies import deaths_of_the_relay
from netns_lab.scenarios.scenario import Scenario
from netns_lab.stage.figures import percentile
from netns_lab.stage.stage import Stage


async def play(stage: Stage) -> None:
    """As with WireGuard; then tell who was whose client."""
    blackouts = await deaths_of_the_relay(stage)
    for node in ("a", "b"):
        roles = {
            f"{tunnel['role']} of {tunnel['peer']}"
            for tunnel in (await stage.status(node))["tunnels"]
            if tunnel["transport"] == "openvpn"
        }
        stage.event(f"{node}: {', '.join(sorted(roles))}")
    stage.figure("trials", len(blackouts))
    stage.figure("blackout_median", percentile(blackouts, 50), "s")
    stage.figure("blackout_max", max(blackouts), "s", at_most=4.0)


SCENARIO = Scenario(
    "a relay that is reached over TCP dies silently, and the flow goes on by another",
    "two_tcp_relays.toml",
    play,
)
