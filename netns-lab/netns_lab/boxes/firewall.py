"""A firewall between a node and the Internet: a transparent bridge that drops what is blocked, both ways.

It is a machine of its own, not a rule on the node: there a dropped packet would make ``sendto`` fail with
EPERM, and the node would know at once what on a real network it has to find out.
"""

from collections.abc import Iterable

from netns_lab.namespace import Machine

# `ip protocol` also matches later fragments, which have no ports.
_DROPS = {"udp": ("ip protocol udp drop", "ip6 nexthdr udp drop")}


def install_block(box: Machine, blocked: Iterable[str]) -> None:
    """Drop the named protocols (``udp``) in all that the machine bridges; RouterError if that fails."""
    rules = "\n".join(rule for protocol in blocked for rule in _DROPS[protocol])
    table = f"""
        table bridge firewall {{
            chain forward {{
                type filter hook forward priority filter; policy accept;
                {rules}
            }}
        }}
    """
    box.run(["nft", "-f", "-"], text=table)
