"""The one door for JSON from outside: validated by type, bounded in size, one known error.

Numbers, strings and structures come out exactly as the dataclass says; :class:`Prefix` and
:class:`Endpoint` travel as their text forms.
"""

from typing import Any, TypeVar

import msgspec

from re6st_core.address import Endpoint, decode_endpoint_untrusted
from re6st_core.errors import WireError
from re6st_core.prefix import Prefix

T = TypeVar("T")
MAX_JSON = 1 << 20
"""Bytes; larger messages are refused before they are parsed."""


def _to_text(value: object) -> str:
    if isinstance(value, Prefix | Endpoint):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} has no text form")


def _from_text(kind: type, value: object) -> Any:  # msgspec's hook: the type decides what comes out
    if not isinstance(value, str):
        raise ValueError(f"{kind.__name__} is written as a string")
    if kind is Prefix:
        return Prefix.from_cn(value)
    if kind is Endpoint:
        return decode_endpoint_untrusted(value)
    raise NotImplementedError(kind.__name__)


def encode_json(message: object) -> bytes:
    """JSON text of a dataclass, deterministic: members in the order of the class."""
    return msgspec.json.encode(message, enc_hook=_to_text)


def decode_json_untrusted(kind: type[T], data: bytes | str, *, max_size: int = MAX_JSON) -> T:
    """Read JSON as ``kind``; unknown members are ignored.  Raises WireError and nothing else."""
    if len(data) > max_size:
        raise WireError(f"message of {len(data)} bytes, more than {max_size}")
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=_from_text)
    except (msgspec.MsgspecError, WireError, ValueError, RecursionError) as exc:
        raise WireError(f"not a valid {getattr(kind, '__name__', kind)}: {exc}") from exc
