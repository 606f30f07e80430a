"""Keep the MTU of each WireGuard device at what its path takes, which may become less while it is used."""

import asyncio
import logging
import random
from collections.abc import Callable
from ipaddress import IPv6Address
from typing import Final

from re6st_core import logfields as lf
from re6st_core.errors import PeerError, Re6stError
from re6st_core.logfields import describe
from re6st_core.peer_wire import MIN_MTU
from re6stnet.adapters.netlink import Kernel
from re6stnet.adapters.path_mtu import PathProbe
from re6stnet.engine.messages import Broken
from re6stnet.ports import Post

log = logging.getLogger(__name__)

CHECK_S: Final = 30.0
"""How often one packet of full size is sent through each tunnel: 100 B/s each."""


class MtuKeeper:
    """Of one node; tunnels by nonce."""

    def __init__(
        self,
        kernel: Kernel,
        post: Post,
        *,
        rng: random.Random,
        probe: Callable[[str, IPv6Address], PathProbe] = PathProbe,
        check_s: float = CHECK_S,
    ) -> None:
        self._kernel = kernel
        self._post = post
        self._rng = rng
        self._probe = probe
        self._check_s = check_s
        self._watches: dict[str, asyncio.Task[None]] = {}

    async def settle(self, nonce: str, device: str, peer: IPv6Address, most: int) -> None:
        """Set the MTU of a device that carries no traffic yet, and look after it from then on.

        Raises RouterError; a path too narrow for IPv6 breaks the tunnel.
        """
        self.forget(nonce)
        try:
            if not await self._fit(nonce, device, peer, most):
                return
            self.watch(nonce, device, peer)
        except PeerError as exc:
            log.info("%s", exc)
            await self._kernel.set_mtu(device, MIN_MTU)  # until it answers
            self.watch(nonce, device, peer, most=most)

    async def _fit(self, nonce: str, device: str, peer: IPv6Address, most: int) -> bool:
        await self._kernel.set_mtu(device, most)
        mtu = await self._probe(device, peer).find(most)
        if mtu is None:
            self._post(Broken(nonce, f"the path by UDP takes no packets of {MIN_MTU} bytes", narrow=True))
            return False
        if mtu != most:
            log.info(describe("path takes less", {lf.TUNNEL: nonce[:8], lf.MTU: mtu}))
            await self._kernel.set_mtu(device, mtu)
        return True

    def watch(self, nonce: str, device: str, peer: IPv6Address, *, most: int | None = None) -> None:
        """Look after a device whose MTU was found before, or (``most``) is still to be found."""
        work = self._watch(nonce, device, peer, most)
        self._watches[nonce] = asyncio.get_running_loop().create_task(work)

    async def _watch(self, nonce: str, device: str, peer: IPv6Address, most: int | None) -> None:
        while True:
            await asyncio.sleep(self._check_s * self._rng.uniform(0.75, 1.25))
            try:
                links = [link for link in await self._kernel.links(device) if link.name == device]
                if not links:
                    return  # as its owner will notice
                narrower = most is None and not await self._probe(device, peer).still(links[0].mtu)
                if (narrower or most is not None) and not await self._fit(
                    nonce, device, peer, most or links[0].mtu
                ):
                    return
                most = None
            except Re6stError as exc:
                log.info("%s", exc)

    def forget(self, nonce: str) -> None:
        """Look no more after a tunnel."""
        if (task := self._watches.pop(nonce, None)) is not None:
            task.cancel()
