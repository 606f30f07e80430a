"""Node-to-node messages: tunnel negotiation, signed by the key of the sender's certificate.

    initiator                            responder
       | -- STUN to responder's endpoint -> |     learns its mapped address from the tunnel's own port
       | -- Offer ------------------------> |     carried by the registry's WebSocket, the peer's
       | <------------------------ Answer - |     control port, or the overlay: the signature is what counts
       | <====== tunnel set up at both =====>     both send at once
       | -- Drain ------------------------> |     either side, any time after: an end without loss
       | -- Close ------------------------> |     or at once

Envelope, JSON: ``{"certificate": base64 DER, "body": base64 JSON, "signature": base64}``.  The signature
covers a context string and the body; the body names both ends, so a message cannot be shown to somebody else.
"""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from re6st_core.address import MAX_ENDPOINTS, Endpoint
from re6st_core.errors import CertificateError, WireError
from re6st_core.identity import Identity, load_certificate_untrusted, verify_node_certificate
from re6st_core.json_wire import decode_json_untrusted, encode_json
from re6st_core.prefix import Prefix
from re6st_core.signature import sign, verify

_CONTEXT = b"re6st tunnel negotiation v1\0"
MAX_MESSAGE = 16384
"""Bytes of an envelope: a certificate, its signature and a full list of endpoints fit well."""
LIFETIME = timedelta(seconds=60)
MIN_MTU, MAX_MTU = 1280, 1420
WIREGUARD, OPENVPN = "wireguard", "openvpn"
TRANSPORTS = (WIREGUARD, OPENVPN)
MAX_REASON = 200
MAX_NEIGHBOURS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The sender wants a tunnel."""

    sender: Prefix
    recipient: Prefix
    nonce: str
    """32 hexadecimal digits, drawn by the initiator; names the tunnel from then on."""
    expires: int
    """Unix time, seconds."""
    transport: str
    public_key: str = ""
    """WireGuard: base64 of the 32 bytes of a key made for this tunnel."""
    endpoints: tuple[Endpoint, ...] = ()
    """Where the sender can be reached by anybody."""
    source: Endpoint | None = None
    """Where the sender's packets of this tunnel come from, as STUN showed."""
    mtu: int = MAX_MTU


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Reply to the offer with this nonce; refused if ``refusal`` is not empty."""

    sender: Prefix
    recipient: Prefix
    nonce: str
    expires: int
    refusal: str = ""
    alternatives: tuple[Prefix, ...] = ()
    """With a refusal: peers that may accept."""
    public_key: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    source: Endpoint | None = None
    mtu: int = MAX_MTU


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """The sender has removed the tunnel of this nonce."""

    sender: Prefix
    recipient: Prefix
    nonce: str
    expires: int
    reason: str = ""


ASK, AGREE, REFUSE, DONE = "ask", "agree", "refuse", "done"
DRAIN_STEPS = (ASK, AGREE, REFUSE, DONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """A step towards the end of the tunnel of this nonce, which still carries packets.

    ask     may we do without it?
    agree   yes: nothing new goes in from now on
    refuse  no, and why: somebody is reached through it alone
    done    the sender's packets go another way; what is on its way is still taken out
    """

    sender: Prefix
    recipient: Prefix
    nonce: str
    expires: int
    step: str
    reason: str = ""
    neighbours: tuple[Prefix, ...] = ()
    """With a question: peers with which the sender has other tunnels that work."""
    needed: bool = False
    """With a question: of itself the sender knows no other way for all that it sends through the tunnel."""


Message = Offer | Answer | Close | Drain


@dataclass(frozen=True, slots=True, kw_only=True)
class _Body:
    kind: str
    offer: Offer | None = None
    answer: Answer | None = None
    close: Close | None = None
    drain: Drain | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Envelope:
    certificate: str
    body: str
    signature: str


def encode_signed(message: Message, key: Any, certificate: x509.Certificate) -> bytes:
    """Sign and wrap a message; ``key`` belongs to ``certificate``, whose CN is the message's sender."""
    body = encode_json(
        _Body(
            kind=type(message).__name__.lower(),
            offer=message if isinstance(message, Offer) else None,
            answer=message if isinstance(message, Answer) else None,
            close=message if isinstance(message, Close) else None,
            drain=message if isinstance(message, Drain) else None,
        )
    )
    return encode_json(
        _Envelope(
            certificate=base64.b64encode(certificate.public_bytes(Encoding.DER)).decode(),
            body=base64.b64encode(body).decode(),
            signature=base64.b64encode(sign(key, _CONTEXT + body)).decode(),
        )
    )


def decode_signed_untrusted(
    data: bytes,
    *,
    ca: x509.Certificate,
    recipient: Prefix,
    revoked: frozenset[int],
    now: datetime,
) -> tuple[Message, Identity]:
    """Check everything a message claims; return it with its sender.  Raises WireError and nothing else.

    The certificate is of this network, in date and not revoked, its key made the signature, its CN is the
    sender and not ourselves, we are the recipient, and the message has not expired, nor claims a life longer
    than twice ``LIFETIME``, which bounds what must be remembered against replays.  So the clocks of two nodes
    that negotiate may differ by ``LIFETIME``.
    """
    envelope = decode_json_untrusted(_Envelope, data, max_size=MAX_MESSAGE)
    try:
        der, body, signature = (
            base64.b64decode(text, validate=True)
            for text in (envelope.certificate, envelope.body, envelope.signature)
        )
    except (binascii.Error, ValueError) as exc:
        raise WireError("peer message: not base64") from exc
    try:
        certificate = load_certificate_untrusted(der)
        identity = verify_node_certificate(certificate, ca, now=now)
        if identity.serial in revoked:
            raise CertificateError(f"certificate {identity.serial:x} of {identity.prefix} is revoked")
        verify(certificate.public_key(), signature, _CONTEXT + body)
    except (CertificateError, ValueError) as exc:
        raise WireError(f"peer message: {exc}") from exc
    message = _message(decode_json_untrusted(_Body, body))
    if message.sender == recipient:
        raise WireError(f"peer message: another host has our own certificate {recipient}")
    if message.sender != identity.prefix or message.recipient != recipient:
        raise WireError(
            f"peer message from {message.sender} to {message.recipient} was sent by {identity.prefix}"
        )
    _check_content(message, now)
    return message, identity


def _message(body: _Body) -> Message:
    parts: dict[str, Message | None] = {
        "offer": body.offer, "answer": body.answer, "close": body.close, "drain": body.drain
    }  # fmt: skip
    message = parts.get(body.kind)
    if message is None:
        raise WireError(f"peer message of unknown kind {body.kind[:20]!r}")
    return message


def _check_content(message: Message, now: datetime) -> None:
    """Limits that the types do not express."""
    try:
        expires = datetime.fromtimestamp(message.expires, UTC)
    except (ValueError, OverflowError, OSError) as exc:
        raise WireError("peer message: impossible expiry") from exc
    if not now <= expires <= now + 2 * LIFETIME:
        raise WireError(f"peer message: its expiry is {expires}, here it is {now}: is a clock wrong?")
    if not is_nonce(message.nonce):
        raise WireError("peer message: malformed nonce")
    if isinstance(message, Close | Drain):
        _check_end(message)
        return
    if len(message.endpoints) > MAX_ENDPOINTS or not MIN_MTU <= message.mtu <= MAX_MTU:
        raise WireError("peer message: too many endpoints, or impossible MTU")
    if message.public_key and not is_wireguard_key(message.public_key):
        raise WireError("peer message: malformed WireGuard key")
    if isinstance(message, Offer):
        if message.transport not in TRANSPORTS:
            raise WireError(f"peer message: unknown transport {message.transport[:20]!r}")
        if (message.transport == WIREGUARD) != bool(message.public_key):
            raise WireError("peer message: a WireGuard offer, and only that, has a public key")
    elif len(message.refusal) > MAX_REASON or len(message.alternatives) > MAX_ENDPOINTS:
        raise WireError("peer message: refusal too long")


def _check_end(message: Close | Drain) -> None:
    if len(message.reason) > MAX_REASON:
        raise WireError("peer message: reason too long")
    if isinstance(message, Drain) and message.step not in DRAIN_STEPS:
        raise WireError(f"peer message: unknown step {message.step[:20]!r}")
    if isinstance(message, Drain) and len(message.neighbours) > MAX_NEIGHBOURS:
        raise WireError("peer message: too many neighbours")


def is_nonce(text: str) -> bool:
    """Whether this has the form of a tunnel's name: 32 lower-case hexadecimal digits."""
    return len(text) == 32 and not set(text) - set("0123456789abcdef")


def is_wireguard_key(text: str) -> bool:
    """Whether this is the base64 of 32 bytes that are not all zero (the zero key is no key)."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return len(raw) == 32 and any(raw)
