"""Ask the kernel by netlink(7): one question, all of its answer.

The kernel works on a question within the very call that sends it, so the answer is there when that returns:
nothing is gained by waiting for it in the event loop, and questions cannot get mixed up.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from re6st_core.errors import WireError
from re6st_core.netlink_wire import NetlinkMessage, decode_messages_untrusted, encode_message

REQUEST: Final = 0x001
ACK: Final = 0x004
REPLACE: Final = 0x100
EXCL: Final = 0x200
CREATE: Final = 0x400
_DUMP: Final = 0x300
_DUMP_INTERRUPTED: Final = 0x010
_ERROR: Final = 2
_DONE: Final = 3
_SOL_NETLINK: Final = 270
_STRICT_CHECK: Final = 12
_LARGEST: Final = 1 << 16
"""Bytes; the kernel makes no larger datagrams than its reader's buffer or 32 KiB."""
_TIMEOUT: Final = struct.pack("@ll", 5, 0)
"""Seconds, microseconds; the kernel's own: Python's would make a socket wait that is told not to."""
_DUMP_TRIES: Final = 10
"""A table that changes under a dump is dumped again."""
_I32: Final = struct.Struct("=i")


class Netlink:
    """A socket of one netlink family, in the namespace of its maker; a context manager.

    Every method raises OSError: with the kernel's errno when it refuses, or that of the socket.
    """

    def __init__(self, family: int = socket.NETLINK_ROUTE, *, groups: int = 0, strict: bool = False) -> None:
        """``groups`` to hear of; ``strict``: the kernel filters dumps by what the question says."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family)
        try:
            self._socket.bind((0, groups))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEOUT)
            if strict:
                self._socket.setsockopt(_SOL_NETLINK, _STRICT_CHECK, 1)
        except BaseException:
            self._socket.close()
            raise
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def fileno(self) -> int:
        """For an event loop: readable when a group has news."""
        return self._socket.fileno()

    def drop_news(self) -> None:
        """Read what has arrived from groups and forget it: that there is news is all that it said."""
        try:
            while self._socket.recv(_LARGEST, socket.MSG_DONTWAIT):
                pass
        except OSError as exc:
            # ENOBUFS: more came than the buffer holds.  That is news too.
            if exc.errno not in (errno.EAGAIN, errno.ENOBUFS):
                raise

    def do(self, kind: int, payload: bytes, *, flags: int = 0) -> None:
        """Have something changed."""
        self._ask(kind, REQUEST | ACK | flags, payload)

    def get(self, kind: int, payload: bytes) -> Sequence[bytes]:
        """Payloads of what is asked for by name."""
        return self._ask(kind, REQUEST | ACK, payload)[0]

    def dump(self, kind: int, payload: bytes) -> Sequence[bytes]:
        """Payloads of all entries of a table."""
        for _ in range(_DUMP_TRIES):
            found, interrupted = self._ask(kind, REQUEST | _DUMP, payload)
            if not interrupted:
                return found
        raise OSError(errno.EAGAIN, "the table changes faster than it can be read")

    def _ask(self, kind: int, flags: int, payload: bytes) -> tuple[list[bytes], bool]:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        self._socket.send(encode_message(NetlinkMessage(kind, flags, self._sequence, payload)))
        found: list[bytes] = []
        interrupted = False
        while True:
            try:
                for message in decode_messages_untrusted(self._socket.recv(_LARGEST)):
                    if message.sequence != self._sequence:
                        continue  # the rest of an answer whose reader gave up
                    interrupted |= bool(message.flags & _DUMP_INTERRUPTED)
                    if message.kind in (_ERROR, _DONE):
                        _raise_if_refused(message.payload)
                        return found, interrupted
                    found.append(message.payload)
            except WireError as exc:
                raise OSError(errno.EBADMSG, str(exc)) from exc


def _raise_if_refused(payload: bytes) -> None:
    """Both ends of an answer begin with 0, or with an errno made negative."""
    if len(payload) < _I32.size:
        raise WireError("the end of a netlink answer lacks its number")
    (number,) = _I32.unpack_from(payload)
    if number < 0:
        raise OSError(-number, os.strerror(-number))
