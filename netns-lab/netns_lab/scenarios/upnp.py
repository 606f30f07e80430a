"""Home routers with UPnP: a node asks its router for a port, announces it, and strangers come in by it.

    public      honest [symmetric NAT, UPnP]      liar [symmetric NAT, UPnP that tells another address]
                absent [symmetric NAT, no UPnP]

Expected: all reach each other, with and without UPnP.  honest announces the port at its router's address,
and absent, whose NAT and honest's would let no direct tunnel through, has one to it.  What the router of
liar tells leads nowhere: nobody is told that address.
"""

from netns_lab.boxes.upnp import LIE
from netns_lab.scenarios.scenario import NotYet, Scenario
from netns_lab.stage.conditions import direct_tunnels, full_mesh
from netns_lab.stage.stage import Stage


async def play(stage: Stage) -> None:
    """Form the mesh, look at what is announced and at the tunnels."""
    await stage.form()
    stage.flow("absent", "honest")
    with stage.step("all reach each other"):
        took_s = await stage.wait_for(full_mesh, within_s=60)
    stage.figure("all_reach_each_other", took_s, "s", at_most=60)
    public = direct_tunnels([("public", node) for node in ("honest", "liar", "absent")])
    with stage.step("everybody has a tunnel to the public node"):
        await stage.wait_for(public, within_s=30)
    with stage.step("absent gets a tunnel to honest by the port of its router"):
        mapped_s = await stage.time_until(direct_tunnels([("absent", "honest")]), within_s=30)
    stage.figure("tunnel_to_the_mapped_port", mapped_s, "s", at_most=30)
    announced = {node: (await stage.status(node))["daemon"]["endpoints"] for node in stage.nodes}
    for node, endpoints in announced.items():
        stage.event(f"{node} announces {', '.join(endpoints) or 'nothing'}")
    router = str(stage.lab.topology.site_of("honest").address)
    found = sum(router in endpoint for endpoint in announced["honest"])
    stage.figure("endpoints_of_honest_at_its_router", found, at_least=1)
    lies = sum(str(LIE) in endpoint for endpoints in announced.values() for endpoint in endpoints)
    stage.figure("announced_lies", lies, at_most=0)
    await stage.wait_for(full_mesh, within_s=30)


SCENARIO = Scenario(
    "home routers with UPnP, without it, and with one that lies",
    "upnp.toml",
    play,
    not_yet=NotYet(
        {
            "tunnel_to_the_mapped_port": "not within 30 s: the public node carries what they send",
            "endpoints_of_honest_at_its_router": "0",
        },
        "the node asks no router for a port",
        5,
    ),
)
