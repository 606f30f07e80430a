"""A NAT box as a home router has it: one public address for a LAN, and nothing comes in unasked.

Unsolicited packets are dropped before they can create a conntrack entry that lasts: else an early packet of a
peer that is punching a hole would take the very mapping the inside host needs.  Linux masquerade: connections
keep their source port where it is free.
"""

from netns_lab.namespace import Machine

_RULES = """
table ip nat_box {{
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        oifname "{outside}" masquerade
    }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname "{inside}" oifname "{outside}" accept
    }}
    chain input {{
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iifname {{ "lo", "{inside}" }} accept
    }}
}}
"""


def install_masquerade(box: Machine, *, inside: str, outside: str) -> None:
    """Turn a machine whose interfaces are set up into a NAT box; RouterError when the kernel refuses."""
    box.sysctl({"net.ipv4.ip_forward": 1})
    box.run(["nft", "-f", "-"], text=_RULES.format(inside=inside, outside=outside))
