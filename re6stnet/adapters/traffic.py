"""How much this site sends to each destination, counted by the kernel: what selection weighs destinations by.

An nftables set of destination addresses with a counter each, for packets from our own subnet into the
network; what we only forward is not counted.  It holds ``MAX_DESTINATIONS`` addresses, each for ``FORGET_S``
after its last packet; a packet costs one look-up.
"""

import asyncio
import logging
from collections.abc import Callable, Set
from ipaddress import IPv6Address
from typing import Any

import msgspec

from re6st_core.errors import ConfigError, RouterError
from re6st_core.prefix import Network, Prefix
from re6stnet.adapters.nftables import listing, load
from re6stnet.engine.messages import TrafficSeen
from re6stnet.engine.rounds import ROUND_S
from re6stnet.ports import Post

log = logging.getLogger(__name__)

MAX_DESTINATIONS = 512
FORGET_S = 300
_RULES = """
table inet {table}
delete table inet {table}
table inet {table} {{
  set sent {{
    type ipv6_addr; size {size}; flags dynamic,timeout; timeout {forget}s; counter;
  }}
  chain leaving {{
    type filter hook postrouting priority 310; policy accept;
    ip6 saddr {own} ip6 daddr {network} ip6 daddr != {own} update @sent {{ ip6 daddr }}
  }}
}}
"""


class TrafficCounter:
    """One node's; ``reachable``: the destinations that addresses are sorted to."""

    def __init__(
        self, network: Network, own: Prefix, port: int, *, reachable: Callable[[], Set[Prefix]], post: Post
    ) -> None:
        self._network = network
        self._own = own
        self._table = f"re6stnet_traffic_{port}"
        self._reachable = reachable
        self._post = post
        self._before: dict[IPv6Address, int] = {}

    async def start(self) -> None:
        """Begin to count.  Raises ConfigError (no nft, not root), RouterError."""
        own, network = self._network.subnet(self._own), self._network.cidr
        await load(
            _RULES.format(table=self._table, size=MAX_DESTINATIONS, forget=FORGET_S, own=own, network=network)
        )

    async def stop(self) -> None:
        """Remove the table; absence is fine."""
        await load(f"table inet {self._table}\ndelete table inet {self._table}\n")

    async def follow(self) -> None:
        """Tell what was sent, once a round, until cancelled."""
        while True:
            await asyncio.sleep(ROUND_S)
            try:
                self._post(TrafficSeen(tuple((await self.read()).items())))
            except (RouterError, ConfigError) as exc:
                log.warning("traffic is not counted: %s", exc)

    async def read(self) -> dict[Prefix, int]:
        """Bytes sent to each destination since the last call.  Raises RouterError."""
        counted = _decode(await listing("set", "inet", self._table, "sent"))
        sent: dict[Prefix, int] = {}
        for address, count in counted.items():
            before = self._before.get(address, 0)
            fresh = count - before if count >= before else count
            prefix = owner(address, self._network, self._reachable())
            if fresh and prefix is not None:
                sent[prefix] = sent.get(prefix, 0) + fresh
        self._before = counted
        return sent


def owner(address: IPv6Address, network: Network, prefixes: Set[Prefix]) -> Prefix | None:
    """The longest of the prefixes that an address belongs to."""
    bits = int(address) & ((1 << (128 - network.cidr.prefixlen)) - 1)
    room = 128 - network.cidr.prefixlen
    for length in sorted({prefix.length for prefix in prefixes}, reverse=True):
        if length <= room and (found := Prefix(length, bits >> (room - length))) in prefixes:
            return found
    return None


def _decode(text: bytes) -> dict[IPv6Address, int]:
    """The counters in nft's JSON.  Raises RouterError."""
    try:
        found: dict[IPv6Address, int] = {}
        for part in msgspec.json.decode(text)["nftables"]:
            elements: list[dict[str, Any]] = part.get("set", {}).get("elem", [])
            for element in elements:
                inner = element["elem"]
                found[IPv6Address(inner["val"])] = inner["counter"]["bytes"]
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError) as exc:
        raise RouterError(f"nft tells the counters in an unknown form: {exc!r}") from exc
    return found
