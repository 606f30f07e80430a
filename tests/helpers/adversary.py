"""What a hostile machine of a lab does to a node: strangers on the underlay, and members that misbehave.

Everything runs in this process, by sockets that live in the hostile machine's namespace.
"""

import asyncio
import contextlib
import os
import secrets
import socket
import subprocess
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address

import aiohttp

from netns_lab.mesh import Mesh
from netns_lab.namespace import Machine
from re6st_core.address import Endpoint, Protocol
from re6st_core.identity import Identity
from re6st_core.peer_wire import LIFETIME, WIREGUARD, Message, Offer, decode_signed_untrusted, encode_signed
from re6st_core.prefix import Prefix
from re6stnet.adapters.credentials import Credentials
from re6stnet.adapters.peer_api import MESSAGE_PATH
from re6stnet.adapters.wireguard_key import PrivateKey

PORT = 1194
_NEVER = ("Traceback", "unexpected failure", "beyond the engine", "overloaded", "Segmentation")
GARBAGE = (
    b"",
    b"\x00",
    b"\x01\x00\x00\x00" + bytes(144),  # a WireGuard handshake of nobody
    b"\x04\x00\x00\x00" + bytes(60),  # WireGuard data of nobody
    b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12),  # a STUN request shorter than its answer
    b"\x00\x01\xff\xfc\x21\x12\xa4\x42" + bytes(12),  # its length is a lie
    b"\x38" + bytes(41),  # OpenVPN's first packet
    b"\xff" * 1400,
)


class Stranger:
    """A host of the underlay without any certificate; ``target``: the underlay address of its victim."""

    def __init__(self, machine: Machine, target: str) -> None:
        self._machine = machine
        self._target = (target, PORT)

    def udp(self) -> socket.socket:
        """A datagram socket of the hostile machine, non-blocking, connected to the victim's open port."""
        sock = self._machine.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect(self._target)
        return sock

    async def flood(self, datagrams: Iterable[bytes], *, pause_every: int = 100) -> int:
        """Send as fast as the line takes it, letting others work in between; returns how many were sent."""
        sent = 0
        with self.udp() as sock:
            for sent, datagram in enumerate(datagrams, 1):
                with contextlib.suppress(OSError):  # an ICMP error, or no room: what floods meet
                    sock.send(datagram)
                if sent % pause_every == 0:
                    await asyncio.sleep(0.01)  # the story: 10,000 packets/s at most
        return sent

    @contextlib.asynccontextmanager
    async def half_open(self, count: int, first: bytes) -> AsyncIterator[None]:
        """Try so many TCP connections to the open port; on those that succeed ``first`` is said, no more."""
        loop = asyncio.get_running_loop()

        async def begin(sock: socket.socket) -> None:
            with contextlib.suppress(OSError):  # refused
                await loop.sock_connect(sock, self._target)
                await loop.sock_sendall(sock, first)

        with contextlib.ExitStack() as stack:
            tasks = []
            for _ in range(count):
                sock = stack.enter_context(self._machine.socket(socket.AF_INET, socket.SOCK_STREAM))
                sock.setblocking(False)
                tasks.append(asyncio.ensure_future(begin(sock)))
            await asyncio.wait(tasks, timeout=1)  # the story: who is not in by then is still trying
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)


class Member:
    """A node that has joined and whose certificate an attacker uses, from the node's own machine."""

    def __init__(self, mesh: Mesh, node: str, underlay: IPv4Address) -> None:
        self.machine = mesh.machine(node)
        etc = self.machine.directory / "etc"
        files = (etc / "ca.crt", etc / "cert.crt", etc / "cert.key")
        self.credentials = Credentials(*files)
        self.prefix = self.credentials.identity.prefix
        self._tls = self.credentials.client_context()
        self._own = Endpoint(underlay, PORT, Protocol.UDP)
        self._network = self.credentials.identity.network

    def offer(self, to: Prefix) -> Offer:
        """A tunnel offer as an honest node makes it."""
        return Offer(
            sender=self.prefix,
            recipient=to,
            nonce=secrets.token_hex(16),
            expires=int((datetime.now(UTC) + LIFETIME).timestamp()),
            transport=WIREGUARD,
            public_key=PrivateKey.generate().public,
            endpoints=(self._own,),
            source=self._own,
        )

    def signed(self, message: Message) -> bytes:
        """The envelope, whatever the message says."""
        return encode_signed(message, self.credentials.key, self.credentials.identity.certificate)

    def read(self, data: bytes) -> tuple[Message, Identity]:
        """A message to this member.  Raises WireError."""
        return decode_signed_untrusted(
            data,
            ca=self.credentials.ca,
            recipient=self.prefix,
            revoked=frozenset(),
            now=datetime.now(UTC),
        )

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """An HTTPS client on the hostile machine, with the member's certificate."""

        def inside(info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
            return self.machine.socket(info[0], info[1], info[2])

        connector = aiohttp.TCPConnector(ssl=self._tls, socket_factory=inside, limit=0)
        async with aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=15)
        ) as client:
            yield client

    async def post(self, client: aiohttp.ClientSession, to: "Victim", data: bytes) -> tuple[int, bytes]:
        """Bring something to the control port of a node: status and body of its reply."""
        async with client.post(
            f"https://{to.underlay}:{PORT}{MESSAGE_PATH}",
            data=data,
            server_hostname=str(self._network.address(to.prefix)),
        ) as response:
            return response.status, await response.read()


@dataclass(frozen=True, slots=True)
class Victim:
    """A node as others see it, and as its host sees its daemon."""

    mesh: Mesh
    node: str
    underlay: IPv4Address
    """Where it is on the Internet of the lab."""

    @property
    def prefix(self) -> Prefix:
        """By which members address it."""
        return Prefix.from_cn(self.mesh.cns[self.node])

    def descriptors(self) -> int:
        """How many files its daemon has open."""
        return len(os.listdir(f"/proc/{self.mesh.daemon_pid(self.node)}/fd"))

    def processes(self) -> int:
        """How many processes run on its machine."""
        name = self.mesh.machine(self.node).namespace
        done = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=True)
        return len(done.stdout.split())

    def complaints(self) -> list[str]:
        """Lines of its log that no peer may ever cause."""
        log = self.mesh.log(self.node).read_text(errors="replace").splitlines()
        return [line for line in log if any(word in line for word in _NEVER)]
