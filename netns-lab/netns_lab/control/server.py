"""The control socket of a lab, served by the process that owns it: one request a line, one answer a line."""

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from netns_lab.control.requests import (
    MAX_LINE,
    Request,
    decode_request_untrusted,
    encode_answer,
    encode_error,
)
from re6st_core.errors import ConfigError, Re6stError

Handle = Callable[[Request], Awaitable[dict[str, Any]]]

MAX_CLIENTS = 32
_PEER = struct.Struct("@iII")  # pid, uid, gid of struct ucred


class ControlServer:
    """Use as an async context manager; removes its socket at the end."""

    def __init__(self, path: Path, handle: Handle) -> None:
        """``handle`` answers a request; Re6stError of it is told to who asked."""
        self._path = path
        self._handle = handle
        self._clients: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as unix:
            unix.setblocking(False)
            try:
                unix.bind(str(self._path))
                self._path.chmod(0o600)
            except OSError as exc:
                raise ConfigError(f"{self._path}: {exc.strerror}") from exc
            self._server = await asyncio.start_unix_server(self._serve, sock=unix.dup(), limit=MAX_LINE)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._path.unlink(missing_ok=True)
        self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            if len(self._clients) <= MAX_CLIENTS and _is_our_user(writer):
                with contextlib.suppress(ConnectionError, ValueError):  # gone, or a line without end
                    while line := await reader.readline():
                        writer.write(await self._answer(line))
                        await writer.drain()
        except asyncio.CancelledError:
            pass  # the lab ends; asyncio's streams would complain about a task that was cancelled
        finally:
            self._clients.discard(task)
            writer.close()

    async def _answer(self, line: bytes) -> bytes:
        try:
            return encode_answer(await self._handle(decode_request_untrusted(line)))
        except Re6stError as exc:
            return encode_error(exc)


def _is_our_user(writer: asyncio.StreamWriter) -> bool:
    """Besides the socket's mode: whoever got at the socket all the same must be us, or root."""
    peer = writer.get_extra_info("socket")
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, uid, _ = _PEER.unpack(credentials)
    return uid in (0, os.geteuid())
