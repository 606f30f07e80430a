"""An office lets nothing out but TCP to port 443: its node joins, and reaches everybody by OpenVPN.

    registry (80, 443)     n1 (port 443)     n2 (port 443)     office [out: tcp/443 only]

Expected: office enrols from there; within 60 s of its daemon's start it reaches all nodes and is reached,
by OpenVPN over TCP to port 443.
"""

from netns_lab.scenarios.scenario import NotYet, Scenario
from netns_lab.stage.conditions import all_reach, full_mesh, tunnels_of
from netns_lab.stage.stage import Stage
from re6st_core.errors import RouterError

OFFICE, OTHERS = "office", ("n1", "n2")


async def play(stage: Stage) -> None:
    """Enrol in the office, else elsewhere; then start the daemon in the office."""
    await stage.form(without=[OFFICE])
    with stage.step("the others reach each other"):
        await stage.wait_for(all_reach(OTHERS), within_s=60)
    stage.figure("enrolled_in_the_office", await enrolled(stage), at_least=1)
    since_s = stage.now()
    stage.start_daemon(OFFICE)
    stage.flow(OFFICE, "n1")
    with stage.step("office reaches all, by TCP"):
        await stage.wait_for(full_mesh & tunnels_of(OFFICE, at_least=1, transports=["openvpn"]), within_s=90)
    stage.figure("office_reaches_all", stage.now() - since_s, "s", at_most=60)
    ends = {
        tunnel["endpoint"]
        for tunnel in (await stage.status(OFFICE))["tunnels"]
        if tunnel["state"] == "active" and not tunnel["endpoint"].endswith(",443,tcp")
    }
    stage.figure("tunnels_to_other_ports", len(ends), at_most=0)
    stage.expect(not ends, f"tunnels of {OFFICE} go to {', '.join(sorted(ends))}")


async def enrolled(stage: Stage) -> int:
    """1 if the node could join from the office; if not, it joins from elsewhere."""
    try:
        await stage.join(OFFICE)
    except RouterError as exc:
        stage.event(f"{OFFICE} does not join from there: {exc}")
        with stage.elsewhere(OFFICE):
            await stage.join(OFFICE)
        return 0
    return 1


SCENARIO = Scenario(
    "only TCP to port 443 leaves the office",
    "tcp_443_only.toml",
    play,
    not_yet=NotYet(
        {"enrolled_in_the_office": "0: re6st-conf gives up; joined elsewhere, the node works there"},
        "re6st-conf fetches the CA certificate by plain HTTP from port 80, also when it has a fingerprint",
        5,
    ),
)
