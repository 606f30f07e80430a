"""What talk between nodes costs: bytes of one exchange in each direction, IP headers included.

Sizes of our own messages follow the programs: tests hold them to the real encoders and a real TLS handshake.
Those of re6st follow its protocol (``re6st-protocol.md`` §5; OpenVPN's handshake as TLS 1.2 with RSA keys of
2048 bits plus OpenVPN's own packets, estimated).
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Exchange:
    """Bytes that each end sends: the one that begins, the one that answers."""

    kind: str
    asked: int
    answered: int


UDP_IPV4, UDP_IPV6, TCP_IPV6 = 28, 48, 72  # headers; TCP with time stamps
TUNNEL_HEADER = 60
"""WireGuard in UDP in IPv4; OpenVPN's is much the same."""

# --- ours -----------------------------------------------------------------------------------------------

TLS_ASKED, TLS_ANSWERED = 1684, 2890
"""TLS 1.3, certificates of our registry at both ends, two session tickets."""
HTTP_ASKED, HTTP_ANSWERED = 220, 170
"""Header lines of aiohttp."""
_PACKETS = 8
"""TCP segments that each end sends for one request: SYN, three of the handshake, data, FIN and their ACKs."""
OFFER, ANSWER, REFUSAL, CLOSE = 1260, 1270, 1270, 1040
"""Signed envelopes, with the sender's certificate."""
ENDPOINTS, BOOTSTRAP = 59, 59
STUN_REQUEST, STUN_ANSWER = 52, 40
WIREGUARD_ASKED, WIREGUARD_ANSWERED = 148 + 32 + 2 * UDP_IPV4, 92 + UDP_IPV4
"""Handshake initiation and first keepalive; response."""


def _https(kind: str, request: int, response: int) -> Exchange:
    """One HTTPS request on a connection of its own."""
    packets = _PACKETS * TCP_IPV6
    return Exchange(
        kind, packets + TLS_ASKED + HTTP_ASKED + request, packets + TLS_ANSWERED + HTTP_ANSWERED + response
    )


def _with(exchange: Exchange, asked: int, answered: int) -> Exchange:
    return Exchange(exchange.kind, exchange.asked + asked, exchange.answered + answered)


_STUN = STUN_REQUEST + UDP_IPV4, STUN_ANSWER + UDP_IPV4
OUR_TUNNEL = _with(_https("open", OFFER, ANSWER), _STUN[0] + WIREGUARD_ASKED, _STUN[1] + WIREGUARD_ANSWERED)
OUR_REFUSAL = _with(_https("refused", OFFER, REFUSAL), *_STUN)
OUR_CLOSE = _https("close", CLOSE, 0)
OUR_QUESTION = _https("ask endpoints", 0, ENDPOINTS)
OUR_BOOTSTRAP = _https("bootstrap", BOOTSTRAP, 0)

OUR_PROBE = Exchange("probe", *_STUN)
DISTANCES_ASKED, DISTANCES_ANSWERED = 779, 779
"""A question and its answer (``re6st_core.distance_wire``), which is never longer."""
OUR_DISTANCES = Exchange(
    "ask distances", DISTANCES_ASKED + UDP_IPV6 + TUNNEL_HEADER, DISTANCES_ANSWERED + UDP_IPV6 + TUNNEL_HEADER
)

# --- re6st ----------------------------------------------------------------------------------------------

RE6ST_QUESTION = Exchange("ask endpoints", 750 + 517 + 25 + 24 + 4 * UDP_IPV6, 760 + 290 + 80 + 3 * UDP_IPV6)
"""A session (certificate, key) and the question; certificate, version and the answer."""
OPENVPN_TLS_ASKED, OPENVPN_TLS_ANSWERED = 2035, 2936
_OPENVPN_PACKET = UDP_IPV4 + 26
RE6ST_TUNNEL = Exchange(
    "open", OPENVPN_TLS_ASKED + 12 * _OPENVPN_PACKET, OPENVPN_TLS_ANSWERED + 12 * _OPENVPN_PACKET
)
RE6ST_REFUSAL = Exchange("refused", 3 * (_OPENVPN_PACKET + 20), 0)
"""A full OpenVPN server does not answer; the client tries three times."""
RE6ST_CLOSE = Exchange("close", 25 + UDP_IPV6, 25 + UDP_IPV6)
RE6ST_BOOTSTRAP = Exchange("bootstrap", 600, 0)

# --- Babel ----------------------------------------------------------------------------------------------

_HELLO, _IHU = 14, 26
"""TLVs with time stamps (RFC 8966 §4.6, RFC 9616)."""
_ROUTE = 12 + 16
"""Router-Id and Update of one destination, its prefix compressed."""
_BABEL_PACKET = 4 + UDP_IPV6
_PAYLOAD = 1200


def routing_bytes(*, tunnels: float, destinations: int, hello_s: float, round_s: float) -> float:
    """What babeld sends in a round for its hellos and full updates (each four hellos), by arithmetic."""
    packet = _BABEL_PACKET + TUNNEL_HEADER
    hellos = round_s / hello_s * (packet + _HELLO + _IHU / 3)
    update = destinations * _ROUTE
    updates = round_s / (4 * hello_s) * (update + math.ceil(update / _PAYLOAD) * packet)
    return tunnels * (hellos + updates)
