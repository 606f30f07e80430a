"""What an administrator makes by hand: no tunnel at all, WireGuard, OpenVPN; one per cable, static routes."""

import subprocess
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

from benchmarks.data_plane.chain import LENGTH, Chain, underlay
from tests.helpers.certs import TestCA

WIREGUARD_MTU = 1420
OPENVPN_MTU = 1400
_NETWORK = IPv6Network("2001:db8:1::/64")


def start_bare(chain: Chain) -> dict[int, IPv6Address]:
    """The cables themselves, with the kernel's forwarding between them."""
    return chain.route(_NETWORK, "left", "right")


def start_wireguard(chain: Chain) -> dict[int, IPv6Address]:
    """A wireguard-go per end of each cable, as ours: a routing daemon needs a device per neighbour."""
    ends = [(n, side) for n in range(LENGTH) for side in _sides(n)]
    keys = {(n, side): _wireguard_key(chain.directory(n) / f"{side}.key") for n, side in ends}
    for n, side in ends:
        chain.start(n, ["wireguard-go", "-f", f"wg-{side}"])
    for n, side in ends:
        socket = chain.directory(n) / "wireguard" / f"wg-{side}.sock"
        chain.until(n, socket.exists, f"socket {socket}")
        other, far = (n + 1, "left") if side == "right" else (n - 1, "right")
        device, ports = f"wg-{side}", {"left": 51001, "right": 51002}
        argv = ["wg", "set", device, "private-key", f"{chain.directory(n)}/{side}.key"]
        argv += ["listen-port", str(ports[side]), "peer", keys[other, far], "allowed-ips", "::/0"]
        chain.machines[n].run([*argv, "endpoint", f"{underlay(other)}:{ports[far]}"])
        chain.machines[n].ip([f"link set {device} mtu {WIREGUARD_MTU} up"])
    return chain.route(_NETWORK, "wg-left", "wg-right")


def start_openvpn_tcp(chain: Chain) -> dict[int, IPv6Address]:
    """OpenVPN over TCP: the left end of a cable calls, the right one listens."""
    nodelay = ["--socket-flags", "TCP_NODELAY"]
    return _start_openvpn(chain, ["--proto", "tcp4-client", *nodelay], ["--proto", "tcp4-server", *nodelay])


def start_openvpn_udp(chain: Chain) -> dict[int, IPv6Address]:
    """The same over UDP."""
    return _start_openvpn(chain, ["--proto", "udp4"], ["--proto", "udp4"])


def _start_openvpn(chain: Chain, client: list[str], server: list[str]) -> dict[int, IPv6Address]:
    ca = TestCA(chain.directory(0) / "ca")
    for n in range(LENGTH):
        files = ca.node(f"{n}/16")
        common = ["--ca", str(files.ca), "--cert", str(files.certificate), "--key", str(files.key)]
        common += ["--dev-type", "tun", "--tun-mtu", str(OPENVPN_MTU), "--tls-version-min", "1.3"]
        common += ["--keepalive", "10", "60"]
        for side in _sides(n):
            argv = ["openvpn", "--dev", f"vpn-{side}", *common]
            if side == "left":
                chain.start(n, [*argv, *server, "--tls-server", "--dh", "none", "--lport", "1194"])
            else:
                calling = ["--tls-client", "--nobind", "--remote", underlay(n + 1), "1194"]
                chain.start(n, [*argv, *client, *calling])
    for n in range(LENGTH):
        for side in _sides(n):
            chain.until_device(n, f"vpn-{side}")
            chain.machines[n].ip([f"link set vpn-{side} mtu {OPENVPN_MTU} up"])
    return chain.route(_NETWORK, "vpn-left", "vpn-right")


def _sides(n: int) -> list[str]:
    """Where machine ``n`` has a neighbour."""
    return ["left"] * (n > 0) + ["right"] * (n < LENGTH - 1)


def _wireguard_key(path: Path) -> str:
    """Write a private key; its public key."""
    secret = subprocess.run(["wg", "genkey"], capture_output=True, check=True).stdout
    path.touch(0o600)
    path.write_bytes(secret)
    shown = subprocess.run(["wg", "pubkey"], input=secret, capture_output=True, check=True).stdout
    return shown.decode().strip()
