"""How many bytes things have on the underlay, IP headers included, and who sent how many of them.

Messages are sized by their real encodings.  The rest are constants: those of formats follow from the
documents named beside them; those of TLS were measured with node certificates on P-256 (the test repeats it).
"""

from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address

from re6st_core.address import Endpoint, Protocol
from re6st_core.json_wire import encode_json
from re6st_core.peer_wire import Answer, Close, Drain, Message, Offer
from re6st_core.stun import BindingRequest, BindingSuccess, encode_request, encode_success

IP_UDP = 20 + 8
"""RFC 791, RFC 768."""
IP_TCP = 20 + 20 + 12
"""RFC 9293 with the timestamps of RFC 7323."""
MSS = 1500 - IP_TCP

TLS_CLIENT, TLS_SERVER = 1393, 2891
"""A mutual TLS 1.3 handshake, each way; with two session tickets, which hold the client's certificate."""
TLS_RECORD = 22
HTTP_REQUEST, HTTP_ANSWER = 210, 160
"""Headers as aiohttp writes them."""
WEBSOCKET_FRAME = 8
"""RFC 6455 section 5.2: head of a frame between 126 and 65535 bytes, masked by the client."""
WEBSOCKET_BEAT_S = 20.0

CERTIFICATE = 495
"""DER of a node's certificate."""
SIGNATURE = 72
"""DER of an ECDSA signature with P-256, at most."""
PARAMETERS = 438
"""Signed network parameters without revoked nodes."""

WG_INITIATION, WG_RESPONSE, WG_KEEPALIVE = (IP_UDP + size for size in (148, 92, 32))
"""WireGuard's messages 1, 2 and an empty 4 (Donenfeld, NDSS 2017, section 5.4)."""
WG_REKEY_S = 120.0
OPENVPN_HANDSHAKE = TLS_CLIENT + 1500
"""TLS inside OpenVPN's control packets, with its own key exchange and pushed options."""
OPENVPN_FRAME = IP_TCP + 2 + 4 + 4 + 16 + 14
"""Length, opcode and peer, packet id, AES-GCM tag; then the Ethernet header, since devices are TAPs."""
OPENVPN_PING_S = 1.0
OPENVPN_PING = OPENVPN_FRAME - 14 + 16

ECHO = 40 + 8 + 16
"""A probe of a tunnel, or its answer, inside."""

BABEL_PACKET = 40 + 8 + 4
"""IPv6, UDP, and Babel's own header (RFC 8966 section 4.2)."""
BABEL_HELLO, BABEL_IHU = 8 + 6, 16 + 10
"""TLVs with timestamps (RFC 8966 section 4.6, RFC 9616 section 4)."""
BABEL_UPDATE = 10 + 8 + 20
"""One destination: router id, next hop shared by many, prefix with the network's part omitted."""
BABEL_REQUEST = 22 + 16


class Ledger:
    """Bytes by node and purpose."""

    def __init__(self) -> None:
        self.sent: dict[str, Counter[str]] = {}

    def add(self, node: str, purpose: str, size: float) -> None:
        """``size`` bytes left this node."""
        self.sent.setdefault(node, Counter())[purpose] += round(size)

    def total(self, node: str) -> int:
        """All bytes of a node."""
        return self.sent.get(node, Counter()).total()

    def by_purpose(self) -> Counter[str]:
        """All nodes together."""
        return sum(self.sent.values(), Counter())


def base64_size(size: int) -> int:
    """Characters that base64 needs for so many bytes."""
    return -(-size // 3) * 4


def envelope_size(message: Message) -> int:
    """Bytes of a signed message, as ``peer_wire.encode_signed`` makes it."""
    kinds = {Offer: "offer", Answer: "answer", Close: "close", Drain: "drain"}
    named = ",".join(f'"{kind}":' for kind in kinds.values())
    body = len(f'{{"kind":"{kinds[type(message)]}",{named}nullnullnull}}') + len(
        encode_json(replace(message, expires=1_800_000_000))
    )
    texts = sum(map(base64_size, (CERTIFICATE, body, SIGNATURE)))
    return len('{"certificate":"","body":"","signature":""}') + texts


def over_tls(size: int) -> int:
    """Bytes of a message on a TLS connection that stands, its acknowledgements left to the other side."""
    size += TLS_RECORD
    return size + IP_TCP * -(-size // MSS)


def tls_opening(ours: int) -> int:
    """Bytes that one side sends until the connection stands (``ours``), and to close it."""
    return ours + IP_TCP * (2 + -(-ours // MSS) + 2)


def babel_packet(tlvs: int, *, openvpn: bool) -> int:
    """One Babel packet inside a tunnel."""
    inner = BABEL_PACKET + tlvs
    return OPENVPN_FRAME + inner if openvpn else IP_UDP + 32 + -(-inner // 16) * 16


def probe(*, openvpn: bool) -> int:
    """A probe of a tunnel, or its answer."""
    return OPENVPN_FRAME + ECHO if openvpn else IP_UDP + 32 + ECHO


def stun_sizes() -> tuple[int, int]:
    """Request and answer, IPv4."""
    mapped = Endpoint(IPv4Address("192.0.2.1"), 1194, Protocol.UDP)
    transaction = bytes(12)
    request = encode_request(BindingRequest(transaction))
    return IP_UDP + len(request), IP_UDP + len(encode_success(BindingSuccess(transaction, mapped)))


STUN_REQUEST, STUN_ANSWER = stun_sizes()
