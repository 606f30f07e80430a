"""Find out how far peers are, and how far from them destinations are; tell others the same of us.

    underlay   STUN requests to peers' reflectors, marked, from one socket: their RTT
    overlay    UDP, from and to port DISTANCE_PORT of overlay addresses (re6st_core.distance_wire)

Answers are no longer than questions, and so many in a round; one host gets so many of them.  All bytes are
counted.
"""

import asyncio
import logging
import secrets
import socket
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address
from typing import Any, Final, TypeAlias

from re6st_core.address import Endpoint
from re6st_core.distance_wire import (
    MAX_DATAGRAM,
    DistanceAnswer,
    DistanceQuestion,
    decode_answer_untrusted,
    decode_question_untrusted,
    encode_answer,
    encode_question,
)
from re6st_core.errors import ConfigError, WireError
from re6st_core.prefix import Network, Prefix
from re6st_core.stun import (
    MAX_MESSAGE,
    BindingRequest,
    BindingSuccess,
    decode_stun_untrusted,
    encode_request,
)
from re6stnet.engine.messages import AskDistances, DistancesTold, Probe, Probed
from re6stnet.engine.rounds import ROUND_S
from re6stnet.engine.scouting import ANSWERED
from re6stnet.ports import Post

log = logging.getLogger(__name__)

DISTANCE_PORT = 327
"""UDP, on the overlay."""
ANSWERS_EACH = 3
"""To one host, in the same time: a question, and its repetitions."""
PACE_S = 0.01
"""Between two packets: a burst would measure its own queue."""
PATIENCE_S = 1.5
TRIES = 2
_SO_MARK: Final = 36
_UDP_IPV4, _UDP_IPV6 = 28, 48
_AT_ONCE = 64
"""Datagrams read before the loop does other things."""

Respond: TypeAlias = Callable[[DistanceQuestion, Prefix | None], DistanceAnswer]


class Explorer:
    """``respond``: what we tell; ``peers``: of our tunnels, whom we recognise by their address."""

    def __init__(
        self, network: Network, *, mark: int, respond: Respond, peers: Callable[[], list[Prefix]], post: Post
    ) -> None:
        self._network = network
        self._mark = mark
        self._respond = respond
        self._peers = peers
        self._post = post
        self._overlay: socket.socket | None = None
        self._port = DISTANCE_PORT
        self._asked: dict[bytes, Prefix] = {}
        """Questions of ours that wait for an answer."""
        self._told: dict[Prefix, DistanceAnswer] = {}
        self._answered: Counter[str] = Counter()
        self._forget_at = 0.0
        self.sent_bytes = 0
        """With IP headers, of probes, questions and answers."""

    def open(self, address: str, port: int = DISTANCE_PORT) -> None:
        """Ask and answer at the overlay address.  Raises ConfigError if the port is taken."""
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            sock.bind((address, port))
        except OSError as exc:
            sock.close()
            raise ConfigError(f"cannot use UDP port {port} of {address}: {exc.strerror}") from exc
        self._overlay, self._port = sock, port
        asyncio.get_running_loop().add_reader(sock, self._read)

    def close(self) -> None:
        """Neither ask nor answer any more."""
        if self._overlay is not None:
            asyncio.get_running_loop().remove_reader(self._overlay)
            self._overlay.close()
            self._overlay = None

    # --- the underlay -----------------------------------------------------------------------------------

    async def probe(self, command: Probe) -> None:
        """Twice each; the shorter RTT counts."""
        found: dict[Prefix, int | None] = {peer: None for peer, _ in command.targets}
        sent: dict[bytes, tuple[Prefix, float]] = {}
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.setsockopt(socket.SOL_SOCKET, _SO_MARK, self._mark)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                await self._probe_all(command, sock, sent, found)
        except OSError as exc:
            log.warning("cannot probe peers: %s", exc.strerror)
        self._post(Probed(tuple(found.items())))

    async def _probe_all(
        self,
        command: Probe,
        sock: socket.socket,
        sent: dict[bytes, tuple[Prefix, float]],
        found: dict[Prefix, int | None],
    ) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(sock, self._take_probes, sock, sent, found)
        try:
            for _ in range(TRIES):
                for peer, endpoint in command.targets:
                    self._send_probe(sock, peer, endpoint, sent)
                    await asyncio.sleep(PACE_S)
            await asyncio.sleep(PATIENCE_S)
        finally:
            loop.remove_reader(sock)

    def _send_probe(
        self, sock: socket.socket, peer: Prefix, endpoint: Endpoint, sent: dict[bytes, tuple[Prefix, float]]
    ) -> None:
        host = str(endpoint.ip) if endpoint.ip.version == 6 else f"::ffff:{endpoint.ip}"
        transaction = secrets.token_bytes(12)
        data = encode_request(BindingRequest(transaction))
        sent[transaction] = peer, asyncio.get_running_loop().time()
        try:
            sock.sendto(data, (host, endpoint.port))
            self.sent_bytes += len(data) + (_UDP_IPV6 if endpoint.ip.version == 6 else _UDP_IPV4)
        except OSError:
            pass  # no way there, or the buffer is full: one that does not answer

    @staticmethod
    def _take_probes(
        sock: socket.socket, sent: dict[bytes, tuple[Prefix, float]], found: dict[Prefix, int | None]
    ) -> None:
        now = asyncio.get_running_loop().time()
        for _ in range(_AT_ONCE):
            try:
                answer = decode_stun_untrusted(sock.recv(MAX_MESSAGE + 1))
            except BlockingIOError:
                return
            except (OSError, WireError):
                continue
            # The transaction is not to be guessed: only who got the question can have answered.
            if isinstance(answer, BindingSuccess) and (asked := sent.pop(answer.transaction, None)):
                peer, since = asked
                found[peer] = min(max(1, round((now - since) * 1e6)), found[peer] or 1 << 31)

    # --- the overlay ------------------------------------------------------------------------------------

    async def ask(self, command: AskDistances) -> None:
        """Ask all, and again those that have not answered."""
        self._asked.clear()
        self._told.clear()
        for _ in range(TRIES):
            for peer in command.peers:
                if peer not in self._told:
                    self._ask(peer, command.tags)
                    await asyncio.sleep(PACE_S)
            await asyncio.sleep(PATIENCE_S)
            if len(self._told) == len(command.peers):
                break
        answers = tuple(self._told.items())
        self._asked.clear()
        self._post(DistancesTold(answers))

    def _ask(self, peer: Prefix, tags: tuple[int, ...]) -> None:
        nonce = secrets.token_bytes(8)
        self._asked[nonce] = peer
        self._send(
            encode_question(DistanceQuestion(nonce, tags)), (str(self._network.address(peer)), self._port)
        )

    def _send(self, data: bytes, to: tuple[Any, ...]) -> None:
        if self._overlay is None:
            return
        try:
            self._overlay.sendto(data, to)
            self.sent_bytes += len(data) + _UDP_IPV6
        except OSError:
            pass  # no way there, or the buffer is full: UDP may lose anything

    def _read(self) -> None:
        for _ in range(_AT_ONCE):
            if self._overlay is None:
                return
            try:
                data, source = self._overlay.recvfrom(MAX_DATAGRAM + 1)
            except BlockingIOError:
                return
            except OSError:
                continue
            try:
                self._take(data, source)
            except WireError as exc:
                log.debug("%s: %s", source[0], exc)

    def _take(self, data: bytes, source: tuple[Any, ...]) -> None:
        """A question or an answer.  Raises WireError."""
        host = IPv6Address(source[0].partition("%")[0])
        if data[:1] == b"\2":
            answer = decode_answer_untrusted(data)
            peer = self._asked.get(answer.nonce)
            if peer is not None and self._network.address(peer) == host:
                self._told[peer] = answer
            return
        question = decode_question_untrusted(data)
        if host in self._network.cidr and self._may_answer(source[0]):
            asker = next((p for p in self._peers() if self._network.address(p) == host), None)
            self._send(encode_answer(self._respond(question, asker), len(data)), source)

    def _may_answer(self, host: str) -> bool:
        """So many in a round, and so many to one host."""
        now = asyncio.get_running_loop().time()
        if now >= self._forget_at:
            self._answered.clear()
            self._forget_at = now + ROUND_S
        if self._answered.total() >= ANSWERED or self._answered[host] >= ANSWERS_EACH:
            return False
        self._answered[host] += 1
        return True
