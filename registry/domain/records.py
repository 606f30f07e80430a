"""What the registry remembers about tokens and certificates."""

from dataclasses import dataclass
from datetime import datetime

from re6st_core.prefix import Prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Permission for one node to join."""

    text: str
    email: str
    prefix_length: int
    """Bits of the prefix that the node will get."""
    created: datetime
    used_at: datetime | None = None
    used_by: Prefix | None = None
    used_key: bytes | None = None
    """Digest of the key that used it, which may ask again."""

    def __repr__(self) -> str:
        return f"Token({self.text[:4]}..., {self.email!r}, used_by={self.used_by})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A certificate that was issued to a node."""

    serial: int
    prefix: Prefix
    key: bytes
    """Digest of its public key."""
    pem: str
    issued: datetime
    expires: datetime
    revoked: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A member: its prefix, and who asked for it."""

    prefix: Prefix
    number: int
    """The smallest integer that no other node had (``re6st-protocol.md`` §1.4)."""
    created: datetime
    expires: datetime
    """End of its last certificate."""
    revoked: bool = False
    email: str | None = None
    location: str | None = None
    subject: str = ""
    """Names that the node gave in its request; shown to the operator, certified by nobody."""
    endpoints: str = ""
    seen: datetime | None = None
