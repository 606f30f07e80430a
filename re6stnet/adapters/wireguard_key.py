"""WireGuard's keys; pure but for the generator."""

import base64

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey


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
