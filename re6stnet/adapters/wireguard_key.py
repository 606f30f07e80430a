"""WireGuard's keys, and the link-local address that belongs to one; pure but for the generator."""

import base64
import hashlib
from ipaddress import IPv6Address

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

_LINK_LOCAL = 0xFE80 << 112


class PrivateKey:
    """An X25519 private key; its text forms never show it."""

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes) -> None:
        if len(raw) != 32:
            raise ValueError("a WireGuard key has 32 bytes")
        self._raw = raw

    @classmethod
    def generate(cls) -> "PrivateKey":
        """A fresh key from the system's random numbers."""
        return cls(X25519PrivateKey.generate().private_bytes_raw())

    @property
    def public(self) -> str:
        """Base64 of the public key, as it travels in an offer."""
        key = X25519PrivateKey.from_private_bytes(self._raw).public_key()
        return base64.b64encode(key.public_bytes_raw()).decode()

    def reveal(self) -> bytes:
        """The 32 secret bytes: for the kernel or wireguard-go, nothing else."""
        return self._raw

    def __repr__(self) -> str:
        return "PrivateKey(***)"


def link_local(public_key: str) -> IPv6Address:
    """The address on the tunnel of the end that has this key: both ends know the other's beforehand."""
    digest = hashlib.sha256(b"re6st link-local\0" + base64.b64decode(public_key)).digest()
    return IPv6Address(_LINK_LOCAL | int.from_bytes(digest[:8], "big"))
