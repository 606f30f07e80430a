"""Whether a request for a certificate is granted: joining with a token or anonymously, and renewal.

Answers may be lost, so the same key asking again gets what it got: nothing is spent twice.  A node whose
certificates are revoked gets nothing more, whatever it presents.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from caucase_ca.policy import RENEWAL_MARGIN
from re6st_core.prefix import Prefix
from registry.domain.allocation import Space, allocate
from registry.domain.records import Held, Node, Token
from registry.errors import NotAllowedError, TooManyError

TOKEN_LIFETIME = timedelta(days=100)
GRACE = timedelta(days=100)
"""How long after the end of its last certificate a node keeps its prefix."""
MAX_LIVE_CERTIFICATES = 8
"""A node that asks for more with ever new keys is broken, or wants to fill the disk."""


class Records(Space, Protocol):
    """What a decision needs to know."""

    def token(self, text: str) -> Token | None:
        """The token, used or not."""

    def certificate_of_key(self, key: bytes) -> Held | None:
        """The newest certificate for a public key with this digest."""

    def certificates_of_node(self, prefix: Prefix) -> list[Held]:
        """All that have not been forgotten, newest first."""

    def node(self, prefix: Prefix) -> Node | None:
        """The member with this prefix."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A certificate may be made for this prefix, which is marked as used now."""

    prefix: Prefix
    token: Token | None


def join(
    records: Records,
    key: bytes,
    token_text: str | None,
    *,
    free_bits: int,
    anonymous_prefix_length: int,
    now: datetime,
) -> Held | Grant:
    """Decide on a new node's request: what its key already has, else a prefix.

    ``key``: digest of the public key, whose owner sent the request.
    ``anonymous_prefix_length``: bits for nodes without token; 0 if they may not join.
    Raises NotAllowedError, NoPrefixError.
    """
    token = _token(records, key, token_text, now) if token_text is not None else None
    if token is None and not anonymous_prefix_length:
        raise NotAllowedError("a token is needed: ask the operator of this network for one")
    held = records.certificate_of_key(key)
    if held and held.revoked:
        raise NotAllowedError(
            f"the key of this request belongs to {held.prefix}, which is revoked: "
            "remove cert.key, so that a new one is made"
        )
    if held and now < held.expires:
        return held
    if token and token.used_at:
        raise NotAllowedError("this token was used long ago: ask the operator for another one")
    length = token.prefix_length if token else anonymous_prefix_length
    return Grant(allocate(records, length, free_bits=free_bits), token)


def renew(records: Records, prefix: Prefix, key: bytes, now: datetime) -> Held | None:
    """Decide on a member's request: the certificate that its key already has, or None for a new one.

    Raises NotAllowedError, TooManyError.
    """
    if records.node(prefix) is None:
        raise NotAllowedError(f"the registry does not know {prefix} any more: join again with a new key")
    certificates = records.certificates_of_node(prefix)
    if any(held.revoked for held in certificates):
        raise NotAllowedError(f"{prefix} is revoked")
    same_key = records.certificate_of_key(key)
    if same_key and same_key.prefix != prefix:
        raise NotAllowedError(f"the key of this request belongs to {same_key.prefix}")
    if same_key and now < same_key.expires - RENEWAL_MARGIN:
        return same_key
    if sum(now < held.expires for held in certificates) >= MAX_LIVE_CERTIFICATES:
        raise TooManyError(f"{prefix} has {MAX_LIVE_CERTIFICATES} certificates already", 86400)
    return None


def _token(records: Records, key: bytes, text: str, now: datetime) -> Token:
    token = records.token(text)
    if token is None:
        raise NotAllowedError("the registry does not know this token")
    if token.used_at is not None:
        if token.used_key != key:
            raise NotAllowedError("this token was used already, by another key")
    elif now > token.created + TOKEN_LIFETIME:
        raise NotAllowedError(f"this token expired on {token.created + TOKEN_LIFETIME:%Y-%m-%d}")
    return token
