"""One question to an HTTP server and its answer, on a connection of its own: all that our calls need.

As HTTP/1.0 (RFC 1945): the answer has no chunks, no encoding, and nothing follows it.  A whole HTTP library
takes 0.2 s of processor time to be imported, more than everything else that ``re6st-conf`` does.

    POST /api/v1/enrol HTTP/1.0       HTTP/1.1 200 OK
    Host: registry.example            Content-Length: 1234
    Content-Length: 567
                                      {"certificate": ...
    {"csr": ...
"""

import asyncio
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from re6st_core.errors import RegistryError, WireError
from re6st_core.http_date import decode_http_date_untrusted
from registry.errors import UnreachableError

TIMEOUT_S = 20.0
CONNECT_TIMEOUT_S = 8.0
HEAD_START_S = 0.25
"""What an address of a name has over the next one (RFC 8305 §5): one that leads nowhere costs little."""
MAX_HEAD = 16384
_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-5][0-9]{2})(?: |\Z)")
_LENGTH = re.compile(rb"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    body: bytes
    date: datetime | None = None
    """When it was sent, by the server's clock; None: not said."""


@dataclass(frozen=True, slots=True)
class Head:
    """What matters of an answer's head."""

    status: int
    length: int | None
    date: datetime | None


async def exchange(
    method: str,
    url: str,
    body: bytes | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    fwmark: int | None = None,
    limit: int,
    within_s: float = TIMEOUT_S,
) -> Answer:
    """Ask ``url`` (its form is checked already); ``limit``: bytes of an answer's body.

    Raises UnreachableError when nobody answers, or not who should; RegistryError for what is no answer.
    """
    with explained(url):
        async with asyncio.timeout(within_s):
            reader, writer = await _connect(url, tls, fwmark)
            try:
                writer.write(_question(method, url, body))
                return await _answer(reader, url, limit)
            finally:
                # Everything has been said; the goodbye of TLS would be waited for.
                writer.transport.abort()
                await asyncio.sleep(0)


def decode_head_untrusted(head: bytes) -> Head:
    """Status of an answer, and length of its body and date if they are told.  Raises WireError."""
    first, *fields = head.split(b"\r\n")
    status = _STATUS.match(first)
    if status is None:
        raise WireError(f"it begins with {first[:60]!r}")
    lengths = set()
    date: datetime | None = None
    for field in fields:
        name, colon, value = field.partition(b":")
        if field and not colon:
            raise WireError(f"it has the header {field[:60]!r}")
        if name.strip().lower() == b"transfer-encoding":
            raise WireError("its body is in chunks, which HTTP/1.0 does not have")
        if name.strip().lower() == b"content-length":
            lengths.add(value.strip())
        if name.strip().lower() == b"date":
            with suppress(WireError):
                date = decode_http_date_untrusted(value.strip().decode("ascii", "replace"))
    if len(lengths) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
        raise WireError("it does not say clearly how long it is")
    return Head(int(status[1]), int(lengths.pop()) if lengths else None, date)


def _question(method: str, url: str, body: bytes | None) -> bytes:
    parts = urlsplit(url)
    lines = [f"{method} {parts.path or '/'} HTTP/1.0", f"Host: {parts.netloc}", "Accept: */*"]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


async def _answer(reader: asyncio.StreamReader, url: str, limit: int) -> Answer:
    head = decode_head_untrusted((await reader.readuntil(b"\r\n\r\n"))[:-4])
    if head.length is not None and head.length <= limit:
        return Answer(head.status, await reader.readexactly(head.length), head.date)
    body = b""
    while len(body) <= limit and (chunk := await reader.read(limit + 1 - len(body))):
        body += chunk
    if len(body) > limit:
        raise RegistryError(f"{url} answered more than {limit} bytes")
    return Answer(head.status, body, head.date)


# --- connections ----------------------------------------------------------------------------------------


async def _connect(
    url: str, tls: ssl.SSLContext | None, fwmark: int | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    assert parts.hostname is not None, "its form is checked already"
    port = parts.port or (80 if tls is None else 443)
    infos = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    connected = await _first_of(infos, fwmark)
    try:
        return await asyncio.open_connection(
            sock=connected,
            ssl=tls,
            server_hostname=None if tls is None else parts.hostname,
            limit=MAX_HEAD,
        )
    except BaseException:
        connected.close()
        raise


async def _first_of(infos: Sequence[tuple[Any, ...]], fwmark: int | None) -> socket.socket:
    """A socket connected to one of these addresses.  Raises OSError with the reason of the last to fail."""
    attempts: set[asyncio.Task[socket.socket]] = set()
    error = OSError("no address")
    try:
        for number, info in enumerate(infos, 1):
            attempts.add(asyncio.create_task(_to(info, fwmark)))
            while attempts:
                wait_s = HEAD_START_S if number < len(infos) else None
                done, _ = await asyncio.wait(attempts, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    break  # the next one begins beside it
                attempts -= done
                for attempt in done:
                    failure = attempt.exception()
                    if failure is None:
                        attempts |= done - {attempt}
                        return attempt.result()
                    error = failure if isinstance(failure, OSError) else OSError(str(failure))
        raise error
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_close)


def _close(attempt: asyncio.Task[socket.socket]) -> None:
    """A connection that came too late."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _to(info: tuple[Any, ...], fwmark: int | None) -> socket.socket:
    family, kind, protocol, _, address = info
    made = socket.socket(family, kind, protocol)
    try:
        made.setblocking(False)
        if fwmark is not None:  # the routing rules keep such packets out of the overlay
            made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, fwmark)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await asyncio.get_running_loop().sock_connect(made, address)
    except BaseException:
        made.close()
        raise
    return made


# --- errors ---------------------------------------------------------------------------------------------


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn what sockets, TLS and streams raise into our errors."""
    try:
        yield
    except ssl.SSLCertVerificationError as exc:
        raise UnreachableError(f"{url} is not the registry of this network: {reason(exc)}") from exc
    except ssl.SSLError as exc:
        raise UnreachableError(
            f"{url}: TLS failed, is our certificate of this network? {reason(exc)}"
        ) from exc
    except TimeoutError as exc:
        raise UnreachableError(f"{url} did not answer in time") from exc
    except (socket.gaierror, UnicodeError) as exc:  # UnicodeError: it can be no name, such as a..b
        raise UnreachableError(f"{url} cannot be reached: its name does not resolve ({reason(exc)})") from exc
    except asyncio.IncompleteReadError as exc:
        if exc.partial:
            raise RegistryError(f"{url} answered garbage: it ends in the middle") from exc
        raise UnreachableError(f"{url} cannot be reached: it closes the connection") from exc
    except (WireError, asyncio.LimitOverrunError) as exc:
        raise RegistryError(f"{url} answered garbage: {reason(exc)}") from exc
    except OSError as exc:
        raise UnreachableError(f"{url} cannot be reached: {reason(exc)}") from exc


def reason(exc: BaseException) -> str:
    """One printable line."""
    return "".join(c if c.isprintable() else " " for c in str(exc) or type(exc).__name__)[:300]
