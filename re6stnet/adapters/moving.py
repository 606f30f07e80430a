"""Notice that this host's addresses have changed: netlink tells, and a set of addresses is compared.

What comes and goes together, as when another network is joined, counts once.  Peers that move are followed by
the kernel; where they are is looked at now and then.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractContextManager

from re6st_core.address import IPAddress
from re6st_core.errors import RouterError

log = logging.getLogger(__name__)

SETTLE_S = 0.2
"""A new address comes with a route, which follows a moment later."""
AGAIN_S = 5.0

PEERS_S = 30.0

Events = Callable[[], AbstractContextManager[Callable[[], Awaitable[None]]]]


async def follow_addresses(
    events: Events,
    addresses: Callable[[], Awaitable[Collection[IPAddress]]],
    moved: Callable[[], Awaitable[None]],
    *,
    settle_s: float = SETTLE_S,
) -> None:
    """Call ``moved`` whenever the addresses differ from those before, until cancelled."""
    before = set(await addresses())
    while True:
        try:
            with events() as changed:
                while True:
                    await changed()
                    await asyncio.sleep(settle_s)
                    now = set(await addresses())
                    if now and now != before:
                        before = now
                        log.info("addresses of this host: %s", ", ".join(sorted(map(str, now))))
                        await moved()
        except RouterError as exc:  # of memory or descriptors; a node that does not notice lives on
            log.error("%s", exc)
            await asyncio.sleep(AGAIN_S)


async def follow_peers(look: Callable[[], Awaitable[None]], *, every_s: float = PEERS_S) -> None:
    """Look where the peers of tunnels are, until cancelled."""
    while True:
        await asyncio.sleep(every_s)
        await look()
