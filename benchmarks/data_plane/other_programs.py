"""Mesh programs of others, as Debian has them, configured by hand: tinc, nebula, yggdrasil.

Each knows its neighbours' addresses and looks for no others: no multicast, no outside peers.  Ciphers and MTU
are what they come with.
"""

import json
import subprocess
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path
from types import MappingProxyType

from benchmarks.data_plane.chain import LENGTH, Chain, underlay

_TINC_NETWORK = IPv6Network("2001:db8:2::/64")
NEBULA_REACH = 2  # its relays are not chained: at most one between two hosts


# --- tinc -----------------------------------------------------------------------------------------------


def start_tinc(chain: Chain) -> dict[int, IPv6Address]:
    """Routes by subnets and encrypts anew at each hop (IndirectData: never straight to far ones)."""
    folders = [chain.directory(n) / "tinc" for n in range(LENGTH)]
    for n, folder in enumerate(folders):
        (folder / "hosts").mkdir(parents=True)
        (folder / "tinc.conf").write_text(tinc_conf(n))
        (folder / "hosts" / f"m{n}").write_text(tinc_host(n))
        # With no terminal to ask at, it appends the public key to the host's file.
        subprocess.run(
            ["tincd", "-c", folder, "-K2048"], stdin=subprocess.DEVNULL, capture_output=True, check=True
        )
    for folder in folders:
        for n, other in enumerate(folders):
            (folder / "hosts" / f"m{n}").write_bytes((other / "hosts" / f"m{n}").read_bytes())
    for n, folder in enumerate(folders):
        chain.start(n, ["tincd", "-c", str(folder), "-D", f"--pidfile={folder}/pid"])
    for n in range(LENGTH):
        chain.until_device(n, "tinc0")
        chain.machines[n].ip(["link set tinc0 up", f"address add {_TINC_NETWORK[n + 1]}/64 dev tinc0 nodad"])
    return {hops: _TINC_NETWORK[hops + 1] for hops in range(1, LENGTH)}


def tinc_conf(n: int) -> str:
    """``tinc.conf`` of machine ``n``."""
    following = f"ConnectTo = m{n + 1}\n" if n < LENGTH - 1 else ""
    return f"Name = m{n}\nAddressFamily = ipv4\nInterface = tinc0\nDecrementTTL = yes\n{following}"


def tinc_host(n: int) -> str:
    """What all know of machine ``n``, but its key."""
    return f"Address = {underlay(n)}\nSubnet = {_TINC_NETWORK[n + 1]}/128\nIndirectData = yes\n"


# --- nebula ---------------------------------------------------------------------------------------------


def start_nebula(chain: Chain) -> dict[int, IPv4Address]:
    """Machine 1 is lighthouse and relay: hosts encrypt end to end, it passes on."""
    ca = chain.directory(0) / "nebula-ca"
    _nebula_cert("ca", "-name", "benchmark", "-out-crt", f"{ca}.crt", "-out-key", f"{ca}.key")
    for n in range(NEBULA_REACH + 1):
        stem = chain.directory(n) / "nebula"
        _nebula_cert(
            *("sign", "-ca-crt", f"{ca}.crt", "-ca-key", f"{ca}.key", "-name", f"m{n}"),
            *("-ip", f"{_nebula_address(n)}/24", "-out-crt", f"{stem}.crt", "-out-key", f"{stem}.key"),
        )
        stem.with_suffix(".json").write_text(json.dumps(nebula_config(n, stem, ca)))
        chain.start(n, ["nebula", "-config", f"{stem}.json"])
    return {hops: _nebula_address(hops) for hops in range(1, NEBULA_REACH + 1)}


def nebula_config(n: int, stem: Path, ca: Path) -> dict[str, object]:
    """The configuration of machine ``n`` (JSON is YAML too)."""
    relay, is_relay = str(_nebula_address(1)), n == 1
    everything = [{"port": "any", "proto": "any", "host": "any"}]
    return {
        "pki": {"ca": f"{ca}.crt", "cert": f"{stem}.crt", "key": f"{stem}.key"},
        "static_host_map": {} if is_relay else {relay: [f"{underlay(1)}:4242"]},
        "lighthouse": {"am_lighthouse": is_relay, "hosts": [] if is_relay else [relay]},
        "relay": {"am_relay": is_relay, "use_relays": True, "relays": [] if is_relay else [relay]},
        "listen": {"host": "0.0.0.0", "port": 4242},
        "tun": {"dev": "nebula0"},
        "firewall": {"outbound": everything, "inbound": everything},
    }


def _nebula_address(n: int) -> IPv4Address:
    return IPv4Address(f"198.51.100.{n + 1}")


def _nebula_cert(*words: str) -> None:
    subprocess.run(["nebula-cert", *words], capture_output=True, check=True)


# --- yggdrasil ------------------------------------------------------------------------------------------


def start_small_yggdrasil(chain: Chain) -> dict[int, IPv6Address]:
    """The same with packets as small as those of the others."""
    return start_yggdrasil(chain, {"IfMTU": 1420})


def start_yggdrasil(
    chain: Chain, settings: Mapping[str, object] = MappingProxyType({})
) -> dict[int, IPv6Address]:
    """Encrypts end to end, passes on along the links it was given; its addresses come from its keys."""
    addresses = {}
    for n in reversed(range(LENGTH)):  # it calls again only after a minute: who is called comes first
        made = subprocess.run(["yggdrasil", "-genconf", "-json"], capture_output=True, check=True)
        path = chain.directory(n) / "yggdrasil.json"
        path.write_text(json.dumps({**json.loads(made.stdout), **yggdrasil_settings(n), **settings}))
        asked = ["yggdrasil", "-useconffile", str(path), "-address"]
        shown = subprocess.run(asked, capture_output=True, check=True, text=True).stdout
        addresses[n] = IPv6Address(shown.strip())
        chain.start(n, ["yggdrasil", "-useconffile", str(path)])
        chain.until_logged(n, "TCP listener started")
    return {hops: addresses[hops] for hops in range(1, LENGTH)}


def yggdrasil_settings(n: int) -> dict[str, object]:
    """What differs from the configuration it makes for itself: nobody unknown is looked for."""
    return {
        "Listen": [f"tcp://{underlay(n)}:9001"],
        "Peers": [f"tcp://{underlay(n + 1)}:9001"] if n < LENGTH - 1 else [],
        "MulticastInterfaces": [],
        "AdminListen": "none",
        "IfName": "ygg0",
    }
