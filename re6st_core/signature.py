"""Signatures with a certificate's key: ECDSA (P-256, P-384) with SHA-256, or RSA-PSS with SHA-256."""

from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from re6st_core.errors import CertificateError

_HASH = hashes.SHA256()
_PSS = padding.PSS(mgf=padding.MGF1(_HASH), salt_length=padding.PSS.DIGEST_LENGTH)


def sign(key: Any, data: bytes) -> bytes:  # the key types of cryptography have no common useful base
    """Sign ``data``.  Raises CertificateError for a kind of key that the network does not use."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(data, ec.ECDSA(_HASH))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, _PSS, _HASH)
    raise CertificateError(f"cannot sign with a key of type {type(key).__name__}")


def verify(key: Any, signature: bytes, data: bytes) -> None:
    """Return if ``signature`` is right.  Raises CertificateError otherwise, whatever the bytes are."""
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(_HASH))
            return
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, _PSS, _HASH)
            return
    except (InvalidSignature, ValueError) as exc:
        raise CertificateError("the signature does not match") from exc
    raise CertificateError(f"cannot verify with a key of type {type(key).__name__}")
