"""STUN over UDP: a reflector that tells others where their packets come from, and the question itself.

The reflector answers from the very address that was asked, which matters on hosts with several.
"""

import asyncio
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any, Final

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import ConfigError, PeerError, RouterError, WireError
from re6st_core.stun import (
    MAX_MESSAGE,
    BindingRequest,
    BindingSuccess,
    decode_stun_untrusted,
    encode_request,
    encode_success,
)

RETRANSMIT_S: Final = (0.2, 0.4, 0.8)
"""How long to wait for an answer before the question is sent again (RFC 8489 section 6.2.1)."""
_SO_MARK: Final = 36
_ANSWERS_PER_S: Final = 1000
_BURST: Final = 200


@dataclass(frozen=True, slots=True)
class StunResult:
    """Our socket as a peer sees it."""

    mapped: Endpoint
    rtt_us: int


class StunReflector:
    """Answers Binding requests on one UDP port, IPv4 and IPv6, up to a bounded rate."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._budget = float(_BURST)
        self._refilled = self._loop.time()
        self._loop.add_reader(sock, self._read)

    @classmethod
    def open(cls, port: int, mark: int) -> "StunReflector":
        """Listen on ``port``.  Raises ConfigError if it is taken, or if we are not root."""
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SO_MARK, mark)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            sock.bind(("::", port))
        except OSError as exc:
            sock.close()
            raise ConfigError(f"cannot listen on UDP port {port}: {exc.strerror}") from exc
        return cls(sock)

    def close(self) -> None:
        """Stop listening."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        # As many as are there, but not for ever: the loop has other things to do.
        for _ in range(64):
            try:
                data, control, _flags, source = self._socket.recvmsg(MAX_MESSAGE + 1, socket.CMSG_SPACE(20))
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error for an earlier answer
            self._answer(data, control, source)

    def _answer(self, data: bytes, control: list[tuple[int, int, bytes]], source: Any) -> None:
        try:
            request = decode_stun_untrusted(data)
            if not isinstance(request, BindingRequest):
                return
            answer = encode_success(BindingSuccess(request.transaction, _endpoint(source)))
        except WireError:
            return
        if len(answer) > len(data) or not self._spend():
            return
        local = [item for item in control if item[:2] == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)]
        try:
            self._socket.sendmsg([answer], local, 0, source)
        except OSError:
            pass  # no way back, or the buffer is full: the other side asks again

    def _spend(self) -> bool:
        now = self._loop.time()
        self._budget = min(_BURST, self._budget + (now - self._refilled) * _ANSWERS_PER_S)
        self._refilled = now
        if self._budget < 1:
            return False
        self._budget -= 1
        return True


async def probe(
    sock: socket.socket, server: Endpoint, *, retransmit_s: Sequence[float] = RETRANSMIT_S
) -> StunResult:
    """Ask ``server`` where packets of ``sock`` come from; the socket stays open, and the caller's.

    ``sock``: non-blocking IPv6 UDP socket for both families, as ``bind_local_port`` makes it; one probe at a
    time. Raises PeerError if no answer comes.
    """
    loop = asyncio.get_running_loop()
    target = str(server.ip) if server.ip.version == 6 else f"::ffff:{server.ip}"
    # Each copy has its own transaction, so that the answer tells which one it belongs to: an exact RTT.
    sent: dict[bytes, float] = {}
    for wait_s in retransmit_s:
        transaction = secrets.token_bytes(12)
        sent[transaction] = loop.time()
        try:
            await loop.sock_sendto(sock, encode_request(BindingRequest(transaction)), (target, server.port))
        except OSError as exc:
            raise PeerError(f"cannot send to {server}: {exc.strerror}") from exc
        try:
            async with asyncio.timeout(wait_s):
                return await _await_answer(sock, (target, server.port), sent)
        except TimeoutError:
            continue
    raise PeerError(f"no STUN answer from {server}")


async def _await_answer(sock: socket.socket, target: tuple[str, int], sent: dict[bytes, float]) -> StunResult:
    loop = asyncio.get_running_loop()
    while True:
        try:
            data, source = await loop.sock_recvfrom(sock, MAX_MESSAGE + 1)
        except ConnectionError:
            continue  # an ICMP error, which anybody may forge
        except OSError as exc:
            raise RouterError(f"cannot receive: {exc.strerror}") from exc
        try:
            answer = decode_stun_untrusted(data)
        except WireError:
            continue
        expected = isinstance(answer, BindingSuccess) and answer.transaction in sent
        if expected and _same_host(source, target):
            assert isinstance(answer, BindingSuccess)
            return StunResult(answer.mapped, max(1, round((loop.time() - sent[answer.transaction]) * 1e6)))


def _same_host(source: Any, target: tuple[str, int]) -> bool:
    return (IPv6Address(source[0].partition("%")[0]), source[1]) == (IPv6Address(target[0]), target[1])


def _endpoint(source: Any) -> Endpoint:
    """The sender of a datagram on a socket for both families.  Raises WireError."""
    address = IPv6Address(source[0].partition("%")[0])
    try:
        return Endpoint(address.ipv4_mapped or address, source[1], Protocol.UDP)
    except ValueError as exc:
        raise WireError(f"impossible sender: {exc}") from exc
