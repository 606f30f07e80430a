"""How nodes pass the network parameters on: ``POST PARAMETERS_PATH`` between two of them, one exchange.

    who asks                             who answers
      | -- version, maybe parameters ---->|     the parameters, if the other is believed to be behind
      |<---- version, maybe parameters ---|     the parameters, if the asker's version is lower

What counts is the signature in the parameters; a version alone is a hint.
"""

from dataclasses import dataclass

from re6st_core.errors import WireError
from re6st_core.json_wire import MAX_JSON, decode_json_untrusted, encode_json
from re6st_core.netparams import MAX_VERSION, SignedParameters

PARAMETERS_PATH = "/v1/parameters"
MAX_TOLD = MAX_JSON
"""Bytes of one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one node tells the other."""

    version: int
    """Of the parameters that it follows."""
    signed: SignedParameters | None = None


def encode_told(told: Told) -> bytes:
    """As it travels."""
    return encode_json(told)


def decode_told_untrusted(data: bytes) -> Told:
    """Raises WireError; the parameters in it are not verified."""
    told = decode_json_untrusted(Told, data, max_size=MAX_TOLD)
    if not 0 < told.version <= MAX_VERSION:
        raise WireError(f"network parameters of version {told.version}")
    return told
