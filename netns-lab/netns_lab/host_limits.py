"""Limits of the host that a large lab needs higher: the kernel counts for all namespaces together.

Raised, never lowered, and left so: an unused limit costs nothing, and by then another lab may use it.
A lab without root has what its user has; that is enough for nine nodes.
"""

from collections.abc import Mapping
from pathlib import Path

from re6st_core.errors import ConfigError

_SYSCTL = Path("/proc/sys")
_SPARE = 32  # used by whoever else works as the same user
_MAX_TUNNELS = 40  # of a node
_NEIGHBOURS_PER_TUNNEL = 4  # the peer, and the groups that are spoken to
_MACHINES_PER_NODE = 2  # itself and a box in front of it
_TABLES = ("net/ipv4/neigh/default", "net/ipv6/neigh/default")


def wanted_limits(nodes: int) -> dict[str, int]:
    """The least value of each limit, as a path below /proc/sys, for a lab of so many nodes."""
    tunnels = min(nodes - 1, _MAX_TUNNELS)
    # wireguard-go watches its control socket with an inotify instance of its own, babeld's reader has one.
    wanted = {"fs/inotify/max_user_instances": _SPARE + nodes * (tunnels + 1)}
    # Anybody may speak to anybody on the underlay; the kernel refuses packets when the table is full.
    entries = _SPARE + _MACHINES_PER_NODE * nodes * (nodes + _NEIGHBOURS_PER_TUNNEL * tunnels)
    return wanted | {f"{table}/gc_thresh3": entries for table in _TABLES}


def raise_limits(wanted: Mapping[str, int], *, root: Path = _SYSCTL) -> None:
    """Raise what is lower; ConfigError names every one that is too low and not ours to change."""
    problems = []
    for name, least in wanted.items():
        path = root / name
        try:
            if int(path.read_text()) >= least:
                continue
            path.write_text(str(least))
        except FileNotFoundError:
            continue  # not in this namespace, or not in this kernel
        except OSError as exc:
            problems.append(
                f"{path} must be {least} for this many nodes ({exc.strerror}), "
                f"as root: sysctl -w {name.replace('/', '.')}={least}"
            )
    if problems:
        raise ConfigError(*problems)
