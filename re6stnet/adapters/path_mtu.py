"""Find the largest packet that a tunnel carries both ways: padded echo requests to the peer (RFC 4443 §4.1).

    full size answered? --yes--> that is it: one round trip, the usual case
            | no
    the smallest answered? --no--> None: this path is too narrow for IPv6 (RFC 8200 §5)
            | yes
    halve the range between what is answered and what is not

A path that swallows large packets without a word (RFC 2923 §2.1) is found as well as one that tells. The
peer's kernel answers with as many bytes as it was sent, so both directions are tested.
"""

import asyncio
import contextlib
import secrets
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import IPv6Address
from typing import Final

from re6st_core.errors import PeerError, RouterError
from re6st_core.peer_wire import MIN_MTU

STEP: Final = 8
"""Bytes: nearer is not worth more packets."""
TRIES: Final = 3
"""A packet may get lost for other reasons."""
LEAST_WAIT_S, MOST_WAIT_S = 0.15, 1.0
_SMALL: Final = 64
_ECHO_REQUEST, _ECHO_REPLY = 128, 129
_ICMP6_FILTER: Final = 1  # not in the socket module
_IPV6_DONTFRAG: Final = 62  # linux/in6.h

Passes = Callable[[int], Awaitable[bool]]
"""Whether packets of a size, IPv6 header included, pass both ways."""


async def search(passes: Passes, most: int, *, least: int = MIN_MTU) -> int | None:
    """The largest size up to ``most`` that passes, in steps; None if not even ``least`` does."""
    if await passes(most):
        return most
    if not await passes(least):
        return None
    low, high = 0, (most - least - 1) // STEP  # of the steps above ``least``, what passes and what may
    while low < high:
        middle = (low + high + 1) // 2
        if await passes(least + middle * STEP):
            low = middle
        else:
            high = middle - 1
    return least + low * STEP


class PathProbe:
    """Packets of any size to the far end of one tunnel; its device must take ``most`` bytes."""

    def __init__(self, device: str, peer: IPv6Address) -> None:
        self._device = device
        self._peer = peer
        self._wait_s = MOST_WAIT_S

    async def find(self, most: int) -> int | None:
        """The largest size up to ``most`` that passes; None: none that IPv6 needs.

        Raises PeerError when the peer does not even answer small packets, RouterError.
        """
        with self._socket() as echo:
            began = asyncio.get_running_loop().time()
            if not await self._passes(echo, _SMALL):
                raise PeerError(f"{self._device}: no answer")
            rtt_s = asyncio.get_running_loop().time() - began
            self._wait_s = min(max(3 * rtt_s, LEAST_WAIT_S), MOST_WAIT_S)
            return await search(lambda size: self._passes(echo, size), most)

    async def still(self, size: int) -> bool:
        """Whether packets of this size pass, or else not even small ones.  Raises RouterError."""
        with self._socket() as echo:
            return await self._passes(echo, size) or not await self._passes(echo, _SMALL)

    async def _passes(self, echo: socket.socket, size: int) -> bool:
        loop = asyncio.get_running_loop()
        identifier = secrets.randbelow(1 << 16)
        packet = struct.pack("!BBHHH", _ECHO_REQUEST, 0, 0, identifier, size).ljust(size - 40, b"\0")
        for _ in range(TRIES):
            with contextlib.suppress(BlockingIOError):
                try:
                    echo.sendto(packet, (str(self._peer), 0))
                except OSError as exc:
                    raise RouterError(f"{self._device}: {exc.strerror}") from exc
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait_s):
                    while True:
                        answer, source = await loop.sock_recvfrom(echo, 2048)
                        from_peer = IPv6Address(source[0].partition("%")[0]) == self._peer
                        if from_peer and len(answer) == len(packet) and answer[4:6] == packet[4:6]:
                            return True
        return False

    @contextlib.contextmanager
    def _socket(self) -> Iterator[socket.socket]:
        """A raw socket that hears nothing but echo replies on the device."""
        try:
            with socket.socket(
                socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6
            ) as echo:
                echo.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._device.encode())
                echo.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)
                blocked = bytearray(b"\xff" * 32)
                blocked[_ECHO_REPLY // 8] &= ~(1 << _ECHO_REPLY % 8)
                echo.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, bytes(blocked))
                yield echo
        except OSError as exc:
            raise RouterError(f"{self._device}: {exc.strerror}") from exc
