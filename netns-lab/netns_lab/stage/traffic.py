"""What people send over the overlay, and how much of it gets through: packets of a size, a download."""

import asyncio
import contextlib
import errno
import secrets
import socket
import time
from ipaddress import IPv6Address

from netns_lab.echo import open_raw, receive_reply, request
from netns_lab.namespace import Machine

HEADERS = 40 + 16
"""Bytes of the smallest packet: IPv6 header and an echo request of ours."""
_EVERY_S = 0.05
_REPLIES_S = 2.0
_IPV6_DONTFRAG = 62  # Linux: what is too large is refused, never cut into pieces
_PIECE = 65536


async def answered(machine: Machine, target: IPv6Address, size: int, *, count: int) -> int:
    """How many of so many echo requests of that size, IPv6 header included, come back whole, or are refused.

    Refused at once as larger than the way is known to take: the sender is told, nothing gets lost on the way.
    """
    heard: set[int] = set()
    complete = asyncio.Event()
    identifier = secrets.randbelow(1 << 16)
    loop = asyncio.get_running_loop()
    with open_raw(machine, socket.AF_INET6) as raw:
        raw.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)

        def readable() -> None:
            with contextlib.suppress(BlockingIOError):
                while True:
                    received = receive_reply(raw, socket.AF_INET6, identifier)
                    if received is not None:
                        heard.add(received[0])
                        if len(heard) == count:
                            complete.set()

        loop.add_reader(raw, readable)
        try:
            for sequence in range(count):
                packet = request(socket.AF_INET6, identifier, sequence, time.time_ns())
                try:
                    raw.sendto(packet.ljust(size - HEADERS + len(packet), b"\0"), (str(target), 0))
                except OSError as exc:
                    if exc.errno == errno.EMSGSIZE:
                        heard.add(sequence)
                await asyncio.sleep(_EVERY_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REPLIES_S):
                    await complete.wait()
        finally:
            loop.remove_reader(raw)
    return len(heard)


async def download(
    server: Machine, client: Machine, address: IPv6Address, size: int, *, within_s: float
) -> float | None:
    """Seconds in which a client fetches so many bytes by TCP from a server there; None: it does not."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with (
        server.socket(socket.AF_INET6, socket.SOCK_STREAM) as listening,
        client.socket(socket.AF_INET6, socket.SOCK_STREAM) as connection,
    ):
        listening.bind((str(address), 0))
        listening.listen()
        serving = loop.create_task(_serve(listening, size))
        try:
            async with asyncio.timeout(within_s):
                await loop.sock_connect(connection, listening.getsockname())
                left = size
                while left and (piece := await loop.sock_recv(connection, _PIECE)):
                    left -= len(piece)
        except OSError:  # the time-out, or no way
            return None
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
    return None if left else loop.time() - began


async def _serve(listening: socket.socket, size: int) -> None:
    """Send so many bytes to the first who connects."""
    loop = asyncio.get_running_loop()
    connection, _ = await loop.sock_accept(listening)
    with connection:
        await loop.sock_sendall(connection, bytes(size))
