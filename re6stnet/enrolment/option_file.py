"""The ``re6stnet.conf`` that a new node gets (syntax: ``re6st-protocol.md`` §9.1)."""

import shlex
from pathlib import Path

HINTS = """
# Addresses where others reach this host, when it is not simply that of an interface (repeatable):
#ip 203.0.113.7
# The one port to open, UDP and TCP:
#port 1194
# LAN interfaces on which other nodes are neighbours (repeatable):
#interface eth0
# Where logs, state and sockets go:
#log /var/log/re6stnet
#state /var/lib/re6stnet
#run /run/re6stnet
"""


def option_file(registry: str, *, ca: Path, cert: Path, key: Path, country: str | None) -> str:
    """Text of the file; paths absolute, so that it works from everywhere."""
    options = {"registry": registry, "ca": str(ca), "cert": str(cert), "key": str(key)}
    if country:
        options["country"] = country
    lines = [f"{name} {shlex.quote(value)}" for name, value in options.items()]
    return (
        "# Options of re6stnet, one per line; no comments after an option.\n"
        + "\n".join(lines)
        + "\n"
        + HINTS
    )
