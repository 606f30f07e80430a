"""Wait until a new tunnel carries packets both ways: the peer's kernel answers an echo request (RFC 4443 §4).

babeld must not speak on a tunnel before that.  WireGuard keeps what is sent while it has no session yet and
delivers it after the handshake; Babel's first hello would be seconds old then, its age be taken for the delay
of the link (draft-ietf-babel-rtt-extension), and a minute of smoothing pass until the link is used.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import struct
from ipaddress import IPv6Address

from re6st_core.errors import RouterError

ECHO_REQUEST, ECHO_REPLY = 128, 129
FIRST_AGAIN_S, LAST_AGAIN_S = 0.1, 1.0
_ICMP6_FILTER = 1  # not in the socket module


async def first_answer(device: str, peer: IPv6Address) -> None:
    """Return when the link-local address ``peer`` has answered on this device; ask for as long as it takes.

    Raises RouterError when the device is gone.
    """
    loop = asyncio.get_running_loop()
    try:
        with _echo_socket(device) as echo:
            again_s = FIRST_AGAIN_S
            while True:
                _ask(echo, peer)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(again_s):
                        while True:
                            _, source = await loop.sock_recvfrom(echo, 64)
                            if IPv6Address(source[0].partition("%")[0]) == peer:
                                return
                again_s = min(2 * again_s, LAST_AGAIN_S)
    except OSError as exc:
        raise RouterError(f"{device}: {exc.strerror}") from exc


def _echo_socket(device: str) -> socket.socket:
    """A raw socket that hears nothing but echo replies on this device."""
    echo = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMPV6)
    try:
        echo.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        blocked = bytearray(b"\xff" * 32)
        blocked[ECHO_REPLY // 8] &= ~(1 << ECHO_REPLY % 8)
        echo.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, bytes(blocked))
    except OSError:
        echo.close()
        raise
    return echo


def _ask(echo: socket.socket, peer: IPv6Address) -> None:
    # The kernel fills in the checksum.
    request = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, os.getpid() & 0xFFFF, secrets.randbelow(1 << 16))
    # Not up yet, no room: the same as no answer, and asked again.
    with contextlib.suppress(BlockingIOError):
        echo.sendto(request, (str(peer), 0))
