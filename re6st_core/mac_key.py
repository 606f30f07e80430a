"""The keys that authenticate Babel's packets (RFC 8967): one for the network at a time, by number (epoch).

The registry derives them from its CA's key, so it need not keep any, and no key tells of another; nodes get
them from the registry, or from each other, by ``POST KEY_PATH``, over mutual TLS only.
"""

import re
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from re6st_core.errors import WireError
from re6st_core.json_wire import decode_json_untrusted
from re6st_core.netparams import MAX_EPOCH
from re6st_core.registry_wire import BabelKeyResponse

KEY_PATH: Final = "/v1/babel-key"
KEY_BYTES: Final = 32
MAX_KEY_MESSAGE: Final = 1024
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWanted:
    """What one node asks another: the key of this epoch."""

    epoch: int


def derive_key(secret: bytes, epoch: int) -> bytes:
    """The key of an epoch (HKDF, RFC 5869); ``secret``: the CA's, private."""
    info = b"re6st babel mac v1 %d" % epoch
    return HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=None, info=info).derive(secret)


def decode_wanted_untrusted(data: bytes) -> int:
    """The epoch that a node wants.  Raises WireError."""
    wanted = decode_json_untrusted(KeyWanted, data, max_size=MAX_KEY_MESSAGE)
    if not 0 < wanted.epoch <= MAX_EPOCH:
        raise WireError(f"there is no key {wanted.epoch}")
    return wanted.epoch


def decode_key_untrusted(data: bytes, epoch: int) -> bytes:
    """The key of this epoch, from an answer.  Raises WireError, which does not contain it."""
    try:
        told = decode_json_untrusted(BabelKeyResponse, data, max_size=MAX_KEY_MESSAGE)
    except WireError:
        raise WireError("an answer that is no key") from None
    return key_of(told, epoch)


def key_of(told: BabelKeyResponse, epoch: int) -> bytes:
    """The key in it.  Raises WireError if it is none, or another epoch's."""
    if told.epoch != epoch or not _HEX.fullmatch(told.key):
        raise WireError(f"an answer that is not the key {epoch}")
    return bytes.fromhex(told.key)
