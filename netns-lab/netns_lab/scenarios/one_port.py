"""Firewalls let one UDP port in and nothing else, not even answers to other ports: it is enough.

    registry      [udp/1194] n1      [udp/1194] n2      [udp/1194] n3

Expected: within 30 s all nodes reach each other; every pair gets a tunnel of its own, and every tunnel is
WireGuard: nobody falls back to TCP.
"""

from netns_lab.scenarios.scenario import Scenario
from netns_lab.stage.conditions import every_tunnel, full_mesh
from netns_lab.stage.stage import Stage


async def play(stage: Stage) -> None:
    """Form the mesh and look at its tunnels."""
    await stage.form()
    stage.flow("n1", "n2")
    with stage.step("all reach each other"):
        took_s = await stage.wait_for(full_mesh, within_s=60)
    stage.figure("all_reach_each_other", took_s, "s", at_most=30)
    with stage.step("each pair by its own tunnel"):
        await stage.wait_for(every_tunnel(stage.nodes), within_s=60)
    transports = [
        tunnel.transport for node in stage.nodes for tunnel in await stage.mesh.tunnels(node) if tunnel.active
    ]
    pairs = len(stage.nodes) * (len(stage.nodes) - 1)
    stage.figure("ends_of_wireguard_tunnels", transports.count("wireguard"), at_least=pairs)
    stage.figure("ends_of_other_tunnels", len(transports) - transports.count("wireguard"), at_most=0)


SCENARIO = Scenario("one open UDP port is enough", "one_port.toml", play)
