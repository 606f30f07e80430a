r"""A node announces an address of the overlay, and the only way to it leads through the overlay.

    a --x x x-- b       b says: reach me at my overlay address
      \       /
       +- r -+

Expected: a and b reach each other over r; no tunnel has an end inside the network, and no tunnel carries
packets of another one.  When the path between a and b is there, they get a tunnel.
"""

from ipaddress import IPv6Network, ip_address

from netns_lab.mesh import NETWORK
from netns_lab.scenarios.scenario import Scenario
from netns_lab.stage.capture import BABEL_PORT, Capture, Datagram
from netns_lab.stage.conditions import full_mesh, tunnels_of, way_is
from netns_lab.stage.stage import Stage

NODES = ("a", "b", "r")


async def play(stage: Stage) -> None:
    """Start with the path cut and a misleading address; look into the tunnels."""
    stage.cut("a", "b")
    await stage.form(start=False)
    stage.mesh.options["b"] = ["--ip", str(stage.mesh.addresses["b"])]
    inside: set[str] = set()

    def take(interface: str, datagram: Datagram) -> None:
        if interface not in ("lo", "net0") and BABEL_PORT not in (datagram.source_port, datagram.to_port):
            inside.add(f"port {datagram.source_port} to {datagram.to_port} in {interface}")

    with Capture(stage.mesh.machine("a"), take) as at_a, Capture(stage.mesh.machine("r"), take) as at_r:
        for node in NODES:
            stage.start_daemon(node)
        with stage.step("a and b reach each other over r"):
            await stage.wait_for(full_mesh & way_is("a", "r", "b"), within_s=60)
        with stage.step("a has had time to try everything"):
            tried_s = await stage.time_until(tunnels_of("a", to=["b"]), within_s=30)
        announced = (await stage.status("b"))["daemon"]["endpoints"]
        stage.event(f"b announces {', '.join(announced) or 'nothing'}")
        recursive = [
            f"{node}: {tunnel['endpoint']}"
            for node in NODES
            for tunnel in (await stage.status(node))["tunnels"]
            if tunnel["endpoint"] and within_network(tunnel["endpoint"])
        ]
        stage.expect(tried_s is None, "a has a tunnel to b although there is no path for it")
        stage.figure("tunnels_with_an_end_inside", len(recursive), at_most=0)
        stage.figure("flows_of_tunnels_inside_tunnels", len(inside), at_most=0)
        stage.expect(not recursive and not inside, "; ".join([*recursive, *sorted(inside)]))
        stage.expect(min(at_a.packets, at_r.packets) > 0, "nothing was captured")
    stage.heal("a", "b")
    with stage.step("a and b have a tunnel of their own"):
        direct_s = await stage.time_until(way_is("a", "b"), within_s=90)
    stage.figure("direct_when_possible", direct_s, "s", at_most=60)


def within_network(endpoint: str) -> bool:
    """Whether an endpoint as ``re6st status`` prints it is an address of the network."""
    address = ip_address(endpoint.partition(",")[0])
    return address.version == 6 and address in IPv6Network(NETWORK)


SCENARIO = Scenario("no tunnel is built inside the overlay", "triangle.toml", play)
