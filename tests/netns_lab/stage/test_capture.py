"""What passes through an interface: UDP is told from the rest, and Babel's MAC from its absence."""

import asyncio
import socket
import struct

import pytest

from netns_lab.lab import Lab
from netns_lab.stage.capture import Capture, Datagram, decode_datagram_untrusted, has_mac_untrusted
from netns_lab.topology import Topology
from re6st_core.errors import WireError


def packet(payload: bytes, *, next_header: int = 17) -> bytes:
    """An IPv6 packet from port 1 to port 2."""
    udp = struct.pack("!HHHH", 1, 2, 8 + len(payload), 0) + payload
    return struct.pack("!IHBB32x", 6 << 28, len(udp), next_header, 64) + udp


def babel(trailer: bytes) -> bytes:
    """A Babel packet with a hello in its body (RFC 8966 §4.6.5)."""
    body = bytes.fromhex("0406 0000 0001 0064".replace(" ", ""))
    return struct.pack("!BBH", 42, 2, len(body)) + body + trailer


def test_udp_is_taken_apart_and_the_rest_passed_over() -> None:
    assert decode_datagram_untrusted(packet(b"hello")) == Datagram(1, 2, b"hello")
    assert decode_datagram_untrusted(packet(b"", next_header=6)) is None


@pytest.mark.parametrize("cut", [b"", packet(b"")[:39], packet(b"")[:44], b"\x45" + bytes(60)])
def test_what_is_cut_short_is_a_wire_error(cut: bytes) -> None:
    with pytest.raises(WireError):
        decode_datagram_untrusted(cut)


def test_a_mac_is_found_in_the_trailer_only() -> None:
    mac = bytes([16, 16]) + bytes(16)
    assert has_mac_untrusted(babel(mac))
    assert has_mac_untrusted(babel(b"\x00\x11\x02ab" + mac))  # after padding and another TLV
    assert not has_mac_untrusted(babel(b""))
    assert not has_mac_untrusted(babel(b"\x11\x02ab"))


@pytest.mark.parametrize("payload", [b"", b"\x2a\x02\x00\x09", b"\x2b\x02\x00\x00", babel(b"\x11")])
def test_what_is_no_babel_packet_is_a_wire_error(payload: bytes) -> None:
    with pytest.raises(WireError):
        has_mac_untrusted(payload)


@pytest.mark.root
async def test_datagrams_are_seen_with_their_interface(small: Topology) -> None:
    seen: list[tuple[str, Datagram]] = []
    arrived = asyncio.Event()

    def take(interface: str, datagram: Datagram) -> None:
        if datagram.to_port == 7000:
            seen.append((interface, datagram))
            arrived.set()

    with Lab(small) as lab:
        machine = lab.machines["a"]
        machine.ip(["addr add 2001:db8:1::1/128 dev lo"])
        with Capture(machine, take) as capture, machine.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            async with asyncio.timeout(20):
                while not arrived.is_set():
                    sender.sendto(b"hello", ("2001:db8:1::1", 7000))
                    await asyncio.sleep(0.05)
            assert capture.packets > 0
    assert seen[0][0] == "lo"
    assert seen[0][1].payload == b"hello"
