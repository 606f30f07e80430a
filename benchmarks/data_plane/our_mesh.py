"""Our nodes, whole: daemon, babeld, one open port; its neighbours are in its cache, no registry runs.

Babel finds the way along the chain, nobody configures a route.
"""

import json
from contextlib import closing
from ipaddress import IPv6Address, ip_address

from benchmarks.data_plane.chain import LENGTH, Chain, underlay
from netns_lab.programs import own
from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import RouterError
from re6st_core.json_wire import encode_json
from re6st_core.netparams import NetworkParameters, sign_parameters
from re6st_core.prefix import Prefix
from re6stnet.adapters.store import SqliteStore
from tests.helpers.node_certificates import NETWORK, authority, write_node

_PORT = 1194
_UDP_BLOCKED = """
table inet blocked {
  chain arriving {
    type filter hook prerouting priority -400
    iifname { "left", "right" } meta l4proto udp drop
  }
}
"""


def start_with_udp(chain: Chain) -> dict[int, IPv6Address]:
    """Nodes that choose; where UDP passes that is WireGuard."""
    return _start(chain, "wireguard")


def start_without_udp(chain: Chain) -> dict[int, IPv6Address]:
    """The cables drop UDP: what remains is OpenVPN over TCP."""
    for machine in chain.machines:
        machine.run(["nft", "-f", "-"], text=_UDP_BLOCKED)
    return _start(chain, "openvpn")


def _start(chain: Chain, transport: str) -> dict[int, IPv6Address]:
    ca, prefixes = authority(), [Prefix(16, n + 1) for n in range(LENGTH)]
    parameters = encode_json(sign_parameters(NetworkParameters(version=1), ca.key))
    for n in range(LENGTH):
        files = write_node(chain.directory(n), ca, prefixes[n])
        with closing(SqliteStore(files / "state")) as store:
            store.save_value("parameters", parameters)
            store.save_peers(
                [
                    (
                        prefixes[other],
                        tuple(Endpoint(ip_address(underlay(other)), _PORT, p) for p in Protocol),
                    )
                    for other in (n - 1, n + 1)
                    if 0 <= other < LENGTH
                ]
            )
        argv = [*own("re6stnet"), "--registry", "http://127.0.0.1:9/", "--ip", underlay(n)]
        for option, name in (("ca", "ca.crt"), ("cert", "cert.crt"), ("key", "cert.key")):
            argv += [f"--{option}", str(files / name)]
        chain.start(
            n,
            [*argv, *(word for name in ("state", "run", "log") for word in (f"--{name}", str(files / name)))],
        )
    targets = {hops: IPv6Address(NETWORK.address(prefixes[hops])) for hops in range(1, LENGTH)}
    chain.until_reached(targets)
    run = chain.directory(1) / prefixes[1].cn.replace("/", "-") / "run"
    status = json.loads(chain.machines[1].run([*own("re6st"), "--run", str(run), "status", "--json"]))
    kinds = {each["transport"] for each in status["tunnels"] if each["state"] == "active"}
    if kinds != {transport}:
        raise RouterError(f"{chain.system}: active tunnels are {sorted(kinds)}, not {transport}")
    return targets
