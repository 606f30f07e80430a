"""A fake babeld on a UNIX socket, for tests and benchmarks; it and the real one pass the same contract tests.

Like the real one (1.12) it writes line by line and blocks while it does, for at most 100 ms; then it cuts the
client off (``cuts`` counts).  Like the real one, when several commands arrive in one read, the answer to one
that fails sticks to the following ones.

    python -m babel_ctl.testing SOCKET --routes 50000 a process of its own, for benchmarks
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import json
import select
import socket
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

WRITE_TIMEOUT_S: Final = 0.1
MAX_CLIENTS: Final = 4
MAX_COMMAND: Final = 1024
KINDS: Final = ("interface", "neighbour", "xroute", "route")


def route_lines(count: int, *, neighbours: int = 5) -> list[str]:
    """Return what babeld would show of ``count`` routes: every destination by each neighbour."""
    lines = [f"interface t{n} up true ipv6 fe80::{n + 1:x}" for n in range(neighbours)]
    lines += [
        f"neighbour 55d0{n:08x} address fe80::ff:{n:x} if t{n} reach ffff ureach 0000 "
        f"rxcost 16 txcost 16 rtt {10 + n}.{n:03d} rttcost {100 * n} cost {16 + 100 * n}"
        for n in range(neighbours)
    ]
    for i in range(count):
        destination, n = divmod(i, neighbours)
        high, low = divmod(destination, 1 << 16)
        router_id = destination.to_bytes(4).hex(":")
        lines.append(
            f"route 55d1{i:08x} prefix 2001:db8:{high:x}:{low:x}::/64 from ::/0 "
            f"installed {'no' if n else 'yes'} id 02:00:00:00:{router_id} "
            f"metric {100 + n + destination % 50} refmetric {destination % 50} via fe80::ff:{n:x} if t{n}"
        )
    return lines


@dataclass(eq=False)
class _Client:
    connection: socket.socket
    monitors: bool = False
    received: bytes = b""


@dataclass
class FakeBabeld:
    """babeld's side of the control socket; the test sets the state, by lines without their verb."""

    path: Path
    router_id: str = "02:00:00:00:00:00:00:01"
    version: str = "babeld-1.12.1"
    cuts: int = 0
    commands: list[str] = field(default_factory=list)
    _records: dict[tuple[str, str], str] = field(default_factory=dict)
    _dump_text: bytes = b""
    _clients: list[_Client] = field(default_factory=list)
    _server: socket.socket | None = None

    def start(self) -> None:
        """Listen; like the real one, refuse when the socket file is there already (OSError)."""
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            server.bind(str(self.path))
            server.listen(MAX_CLIENTS)
        except OSError:
            server.close()
            raise
        self._server = server
        asyncio.get_running_loop().add_reader(server, self._accept)

    def stop(self, *, unclean: bool = False) -> None:
        """End; ``unclean`` leaves the socket file, as after kill -9."""
        for client in list(self._clients):
            self._drop(client)
        if self._server:
            asyncio.get_running_loop().remove_reader(self._server)
            self._server.close()
            self._server = None
        if not unclean:
            self.path.unlink(missing_ok=True)

    def put(self, lines: Iterable[str]) -> None:
        """Add or change records and tell the monitors: ``["route 55d1 prefix ..."]``."""
        for line in lines:
            kind, key = line.split(" ", 2)[:2]
            assert kind in KINDS
            verb = "change" if (kind, key) in self._records else "add"
            self._records[kind, key] = line
            self._dump_text = b""
            self._tell(f"{verb} {line}\n")

    def flush(self, kind: str, key: str) -> None:
        """Remove a record and tell the monitors."""
        self._dump_text = b""
        self._tell(f"flush {self._records.pop((kind, key))}\n")

    def say(self, text: str) -> None:
        """Send anything to the monitors: for what the real one would not say."""
        self._tell(text)

    @property
    def monitors(self) -> int:
        """How many clients have asked to be told of changes."""
        return sum(client.monitors for client in self._clients)

    def _tell(self, text: str) -> None:
        for client in [c for c in self._clients if c.monitors]:
            self._write(client, text.encode())

    def _accept(self) -> None:
        assert self._server is not None
        connection, _ = self._server.accept()
        connection.setblocking(False)
        client = _Client(connection)
        self._clients.append(client)
        asyncio.get_running_loop().add_reader(connection, self._on_readable, client)
        header = f"BABEL 1.0\nversion {self.version}\nhost fake\nmy-id {self.router_id}\nok\n"
        self._write(client, header.encode())

    def _drop(self, client: _Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
            asyncio.get_running_loop().remove_reader(client.connection)
            client.connection.close()

    def _write(self, client: _Client, data: bytes) -> None:
        poll = select.poll()
        poll.register(client.connection, select.POLLOUT)
        view = memoryview(data)
        while view and client in self._clients:
            try:
                view = view[client.connection.send(view[: 1 << 16]) :]
            except BlockingIOError:
                if not poll.poll(WRITE_TIMEOUT_S * 1000):
                    self.cuts += 1
                    self._drop(client)
            except OSError as exc:
                if exc.errno not in (errno.EPIPE, errno.ECONNRESET):
                    raise
                self._drop(client)

    def _on_readable(self, client: _Client) -> None:
        try:
            data = client.connection.recv(MAX_COMMAND)
        except ConnectionError:
            data = b""
        client.received += data
        if not data or len(client.received) > MAX_COMMAND:
            self._drop(client)
            return
        *lines, client.received = client.received.split(b"\n")
        answer = "ok"
        for line in lines:
            answer = self._execute(client, line.decode("ascii", "replace")) or answer
            if client not in self._clients:
                return  # cut off while it was dumped to
            self._write(client, f"{answer}\n".encode())

    def _execute(self, client: _Client, line: str) -> str | None:
        """Do what a command says; return the answer unless it is ok."""
        if line == "monitor":
            self._dump(client)
            client.monitors = True
            return None
        self.commands.append(line)
        match line.split():
            case ["dump"]:
                self._dump(client)
            case ["unmonitor"]:
                client.monitors = False
            case ["interface", name, *_]:
                if ("interface", name) not in self._records:
                    self.put([f"interface {name} up false"])
            case ["key", "id", _, "type", "hmac-sha256", "value", _]:
                pass
            case ["flush", "interface", name]:
                if ("interface", name) not in self._records:
                    return "no No such interface"
                self.flush("interface", name)
            case _:
                return "bad"
        return None

    def _dump(self, client: _Client) -> None:
        if not self._dump_text:
            # As the real one: kind by kind.  Kept, so that a benchmark measures the reader, not this.
            ordered = (line for kind in KINDS for (k, _), line in self._records.items() if k == kind)
            self._dump_text = "".join(f"add {line}\n" for line in ordered).encode()
        self._write(client, self._dump_text)


async def _serve(path: Path, routes: int) -> None:
    """Serve until standard input ends, then print what happened as one JSON line."""
    fake = FakeBabeld(path)
    fake.put(route_lines(routes))
    fake.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, ended.set)
    await ended.wait()
    loop.remove_reader(sys.stdin)
    fake.stop()
    sys.stdout.write(json.dumps({"cuts": fake.cuts}) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Say ``ready``, serve until standard input ends, then print ``{"cuts": N}``."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("socket", type=Path)
    parser.add_argument("--routes", type=int, default=50_000)
    options = parser.parse_args(argv)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(options.socket, options.routes))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
