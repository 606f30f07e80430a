"""What can be asked of a running lab: one JSON object a line, one answer a line.  Pure.

::

    {"do": "cut", "a": "n1", "b": "n2"}           {"answer": {}}
    {"do": "info"}                                {"answer": {"label": …, "nodes": {…}}}
    what is asked wrongly                         {"refused": ["what is wrong", …]}
    what can't be done                            {"failed": "what happened"}
"""

from typing import Any

import msgspec

from re6st_core.errors import ConfigError, Re6stError, RouterError, WireError

MAX_LINE = 1 << 20
"""Bytes of a request or an answer; a lab of a thousand nodes answers with a tenth of it."""


class _Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do"):
    pass


class Info(_Request, frozen=True, tag="info"):
    """What the lab is: label, machines, addresses, daemons."""


class Cut(_Request, frozen=True, tag="cut"):
    """Let nothing pass between two sites or nodes."""

    a: str
    b: str


class Heal(_Request, frozen=True, tag="heal"):
    """Undo a cut."""

    a: str
    b: str


class Silence(_Request, frozen=True, tag="silence"):
    """Drop everything to and from a node or site while its carrier stays up."""

    node: str


class Revive(_Request, frozen=True, tag="revive"):
    """Undo a silence."""

    node: str


class SetLink(_Request, frozen=True, tag="link"):
    """Change the path between two sites or nodes; None leaves a property as it is."""

    a: str
    b: str
    rtt_ms: float | None = None
    jitter_ms: float | None = None
    loss: float | None = None
    rate_mbit: float | None = None
    mtu: int | None = None
    reorder: bool | None = None
    one_way: bool = False


class Start(_Request, frozen=True, tag="start"):
    """Start the daemon of a node (or the registry)."""

    node: str


class Stop(_Request, frozen=True, tag="stop"):
    """End the daemon of a node with SIGTERM, or SIGKILL."""

    node: str
    kill: bool = False


Request = Info | Cut | Heal | Silence | Revive | SetLink | Start | Stop

_decoder = msgspec.json.Decoder(Request)


def encode_request(request: Request) -> bytes:
    """One line, its end included."""
    return msgspec.json.encode(request) + b"\n"


def decode_request_untrusted(line: bytes) -> Request:
    """A request; WireError for anything else."""
    try:
        request: Request = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise WireError(f"not a request: {exc}") from exc
    return request


def encode_answer(answer: dict[str, Any]) -> bytes:  # Any: each request's answer has its own shape
    """One line, its end included."""
    return msgspec.json.encode({"answer": answer}) + b"\n"


def encode_error(error: Re6stError) -> bytes:
    """One line, its end included."""
    if isinstance(error, ConfigError):
        return msgspec.json.encode({"refused": error.problems}) + b"\n"
    return msgspec.json.encode({"failed": str(error)}) + b"\n"


class _Answer(msgspec.Struct, frozen=True):
    answer: dict[str, Any] | None = None
    refused: list[str] = []
    failed: str = ""


def decode_answer_untrusted(line: bytes) -> dict[str, Any]:
    """What a lab answered; ConfigError: it refuses; RouterError: it failed; WireError: this is no answer."""
    try:
        decoded = msgspec.json.decode(line, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise WireError(f"not an answer of a lab: {exc}") from exc
    if decoded.refused:
        raise ConfigError(*decoded.refused)
    if decoded.failed:
        raise RouterError(decoded.failed)
    if decoded.answer is None:
        raise WireError("not an answer of a lab: it is empty")
    return decoded.answer
