"""How often one host may open a TCP connection to the open port: a bound that no program can enforce itself.

OpenVPN takes whoever connects, and keeps him for the time of a handshake before he has shown anything: some
dozens of silent connections would keep every member out.  So the kernel drops what one source begins beyond
a rate; a dropped SYN comes again a second later.  Connections that are open are not looked at.
"""

from typing import Final

from re6stnet.adapters import nftables

PER_SECOND: Final = 2
BURST: Final = 12
"""Several nodes behind one address may begin at the same time."""
REMEMBERED: Final = 65536
"""Sources; beyond that the new ones go uncounted, as memory must end somewhere."""
_FORGET_S: Final = 60

_RULES: Final = """
table inet {table}
delete table inet {table}
table inet {table} {{
  set newcomers4 {{ type ipv4_addr; flags dynamic; size {size}; timeout {forget}s; }}
  set newcomers6 {{ type ipv6_addr; flags dynamic; size {size}; timeout {forget}s; }}
  chain arriving {{
    type filter hook input priority 0; policy accept;
    iif lo accept
    tcp dport {port} tcp flags & (syn | ack) == syn jump opening
  }}
  chain opening {{
    add @newcomers4 {{ ip saddr {limit} }} drop
    add @newcomers6 {{ ip6 saddr & ffff:ffff:ffff:ffff:: {limit} }} drop
  }}
}}
"""


async def limit(port: int) -> None:
    """From now on, also after our death.  Raises ConfigError (nft missing, not root), RouterError."""
    rate = f"limit rate over {PER_SECOND}/second burst {BURST} packets"
    rules = _RULES.format(table=_table(port), port=port, size=REMEMBERED, forget=_FORGET_S, limit=rate)
    await nftables.load(rules)


async def lift(port: int) -> None:
    """Remove the bound; absence is fine.  Raises ConfigError, RouterError."""
    table = _table(port)
    await nftables.load(f"table inet {table}\ndelete table inet {table}\n")


def _table(port: int) -> str:
    return f"re6stnet_{port}_newcomers"
