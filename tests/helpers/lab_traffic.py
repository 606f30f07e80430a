"""Does traffic pass between two machines of a lab: asked with sockets of their own."""

import contextlib
import select
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from netns_lab.lab import Lab
from re6st_core.errors import RouterError

NOTHING_WITHIN_S = 0.3
"""For what must not come; delays of the labs that use this are far below."""
WITHIN_S = 5.0
"""For what must come."""

Address = IPv4Address | IPv6Address


def family(address: Address) -> socket.AddressFamily:
    """Of sockets that can speak to an address."""
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


@contextlib.contextmanager
def listener(lab: Lab, machine: str, version: int, port: int) -> Iterator[socket.socket]:
    """A TCP server that takes connections from everywhere."""
    kind = socket.AF_INET if version == 4 else socket.AF_INET6
    with lab.machines[machine].socket(kind, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("::" if version == 6 else "", port))
        server.listen()
        yield server


def tcp_source(
    lab: Lab, source: str, to: str, address: Address, port: int, *, within_s: float = WITHIN_S
) -> Address | None:
    """Connect from one machine to a server on another; the address it sees, None: no connection."""
    with (
        listener(lab, to, address.version, port) as server,
        lab.machines[source].socket(family(address), socket.SOCK_STREAM) as client,
    ):
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            client.connect((str(address), port))
        if not select.select([server], [], [], within_s)[0]:
            return None
        accepted, peer = server.accept()
        accepted.close()
        return ip_address(peer[0])


def udp_source(
    lab: Lab, source: str, to: str, address: Address, port: int, *, within_s: float = WITHIN_S
) -> Address | None:
    """Send a datagram from one machine to another; the address it comes from, None: it does not come."""
    with (
        lab.machines[to].socket(family(address), socket.SOCK_DGRAM) as receiver,
        lab.machines[source].socket(family(address), socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("::" if address.version == 6 else "", port))
        sender.sendto(b"x", (str(address), port))
        if not select.select([receiver], [], [], within_s)[0]:
            return None
        return ip_address(receiver.recvfrom(10)[1][0])


def udp_round_trip(lab: Lab, source: str, to: str, address: Address, port: int, *, within_s: float) -> bool:
    """Whether a datagram comes and the answer to it comes back."""
    with (
        lab.machines[to].socket(family(address), socket.SOCK_DGRAM) as receiver,
        lab.machines[source].socket(family(address), socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("::" if address.version == 6 else "", port))
        sender.sendto(b"x", (str(address), port))
        if not select.select([receiver], [], [], within_s)[0]:
            return False
        receiver.sendto(b"y", receiver.recvfrom(10)[1])
        return bool(select.select([sender], [], [], within_s)[0])


def pings(lab: Lab, source: str, address: Address, *, size: int = 56, within_s: float = 2) -> bool:
    """Whether an echo request of so many bytes, not to be fragmented, is answered."""
    argv = ["ping", "-n", "-c", "1", "-W", f"{within_s:g}", "-M", "do", "-s", str(size), str(address)]
    try:
        lab.machines[source].run(argv)
    except RouterError:
        return False
    return True
