"""The relay: members exchange messages through the registry while they have no other way.

    node A -- RelayFrame(peer=B, message) --> registry -- RelayFrame(peer=A, message) --> node B
    node A <- RelayFrame(peer=B, error) ----- registry            B is not here, or does not listen

A node has one connection, the newest.  Each has a short queue, of which one sender may take a small part.
What finds no place is dropped, and its sender told: nobody's slowness costs others memory, and nobody's
eagerness costs others their connection.  Only who takes nothing for :data:`SEND_TIMEOUT_S` is sent away.
The registry states who sent a message; it cannot read or forge what is signed.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Collection

from aiohttp import WSCloseCode, WSMsgType, web

from re6st_core.errors import CertificateError, WireError
from re6st_core.identity import Identity
from re6st_core.json_wire import decode_json_untrusted, encode_json
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import MAX_RELAYED, RelayFrame
from registry.domain.ratelimit import RateLimit
from registry.errors import StoreFailedError
from registry.http.context import Context
from registry.http.presence import Presence

_log = logging.getLogger(__name__)
QUEUE = 32
"""Frames that wait for one node."""
QUEUE_PER_SENDER = 4
SEND_TIMEOUT_S = 10
HEARTBEAT_S = 20
BURST, INTERVAL_S = 100, 0.05
"""Frames from one node, at once and one after another; above that we read more slowly."""


class Member:
    """One node's connection."""

    def __init__(self, identity: Identity, socket: web.WebSocketResponse) -> None:
        self.identity = identity
        self.socket = socket
        self.queue: asyncio.Queue[RelayFrame] = asyncio.Queue(QUEUE)
        self.closing: asyncio.Task[bool] | None = None
        self._waiting: Counter[Prefix] = Counter()

    def offer(self, frame: RelayFrame) -> bool:
        """Queue a frame; False if there is no place for it.  Also what went wrong counts as from the peer."""
        if self.queue.full() or self._waiting[frame.peer] >= QUEUE_PER_SENDER:
            return False
        self._waiting[frame.peer] += 1
        self.queue.put_nowait(frame)
        return True

    def close(self, code: int, reason: str) -> None:
        """Start closing, without waiting for the other end."""
        if self.closing is None:
            closing = self.socket.close(code=code, message=reason.encode()[:120])
            self.closing = asyncio.get_running_loop().create_task(closing)

    async def write(self) -> None:
        """Send what is queued, until the node does not take it."""
        try:
            while True:
                frame = await self.queue.get()
                self._waiting -= Counter([frame.peer])  # forgets who has nothing left
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self.socket.send_str(encode_json(frame).decode())
        except (TimeoutError, ConnectionError):
            self.close(WSCloseCode.TRY_AGAIN_LATER, "takes nothing")


class Hub:
    """All connections of the relay."""

    def __init__(self, context: Context, presence: Presence) -> None:
        self._context = context
        self._presence = presence
        self._members: dict[Prefix, Member] = {}
        self._rate = RateLimit(burst=BURST, interval_s=INTERVAL_S)

    async def serve(self, request: web.Request, identity: Identity) -> web.WebSocketResponse:
        """Serve one node until it leaves, is replaced, or must not go on."""
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, max_msg_size=MAX_RELAYED, compress=False, timeout=SEND_TIMEOUT_S
        )
        await socket.prepare(request)
        member = Member(identity, socket)
        if previous := self._members.get(identity.prefix):
            previous.close(WSCloseCode.GOING_AWAY, "replaced by a newer connection")
        self._members[identity.prefix] = member
        self._presence.relayed.add(identity.prefix)
        self._presence.serials[identity.prefix] = identity.serial
        writer = asyncio.create_task(member.write())
        try:
            await self._read(member)
        finally:
            writer.cancel()
            if self._members.get(identity.prefix) is member:
                del self._members[identity.prefix], self._presence.serials[identity.prefix]
                self._presence.relayed.discard(identity.prefix)
            member.close(WSCloseCode.OK, "")
            assert member.closing is not None
            await asyncio.wait([member.closing, writer])
        return socket

    @property
    def members(self) -> Collection[Prefix]:
        """Who is here."""
        return self._members.keys()

    def tell(self, frame: RelayFrame) -> None:
        """Send a frame of our own to ``frame.peer``, if it is here and takes anything."""
        if member := self._members.get(frame.peer):
            member.offer(frame)

    async def close(self) -> None:
        """Send everybody away: the registry stops."""
        for member in self._members.values():
            member.close(WSCloseCode.GOING_AWAY, "the registry stops")
        if tasks := [member.closing for member in self._members.values() if member.closing]:
            await asyncio.wait(tasks, timeout=1)

    async def _read(self, member: Member) -> None:
        loop = asyncio.get_running_loop()
        async for message in member.socket:
            if message.type is not WSMsgType.TEXT:
                member.close(WSCloseCode.UNSUPPORTED_DATA, "text frames only")
                return
            sender = member.identity.prefix
            await asyncio.sleep(self._rate.wait_s(sender, loop.time()))
            self._rate.take(sender, loop.time())
            try:
                frame = decode_json_untrusted(RelayFrame, message.data, max_size=MAX_RELAYED)
                await self._forward(member, frame)
            except WireError as exc:
                member.close(WSCloseCode.INVALID_TEXT, str(exc))
                return
            except CertificateError as exc:
                member.close(WSCloseCode.POLICY_VIOLATION, str(exc))
                return

    async def _forward(self, sender: Member, frame: RelayFrame) -> None:
        await self._check(sender)
        recipient = self._members.get(frame.peer)
        error = "not on the relay"
        if recipient is not None:
            try:
                await self._check(recipient)
                if recipient.offer(RelayFrame(peer=sender.identity.prefix, message=frame.message)):
                    return
                error = "too many messages wait for it"
            except CertificateError as exc:
                recipient.close(WSCloseCode.POLICY_VIOLATION, str(exc))
                error = "revoked or expired"
        sender.offer(RelayFrame(peer=frame.peer, error=error))

    async def _check(self, member: Member) -> None:
        """Certificates end, and are revoked, while connections last.  Raises CertificateError."""
        identity = member.identity
        if self._context.now() > identity.not_after:
            raise CertificateError(f"the certificate of {identity.prefix} expired on {identity.not_after}")
        try:
            published = await self._context.published()
        except StoreFailedError as exc:
            _log.warning("revocation of %s is not known: %s", identity.prefix, exc)
            return
        if published.is_revoked(identity.serial):
            raise CertificateError(f"the certificate of {identity.prefix} is revoked")
