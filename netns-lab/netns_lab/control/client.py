"""Ask a running lab, from another process."""

import socket
from pathlib import Path
from typing import Any

from netns_lab.control.requests import MAX_LINE, Request, decode_answer_untrusted, encode_request
from re6st_core.errors import RouterError

_ANSWER_WITHIN_S = 30.0


def ask(path: Path, request: Request) -> dict[str, Any]:  # Any: each request's answer has its own shape
    """Send one request to the lab behind a control socket; ConfigError: refused; RouterError: no answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as unix:
        unix.settimeout(_ANSWER_WITHIN_S)
        try:
            unix.connect(str(path))
            unix.sendall(encode_request(request))
            with unix.makefile("rb") as answers:
                line = answers.readline(MAX_LINE)
        except OSError as exc:
            raise RouterError(f"the lab does not answer at {path}: {exc.strerror or exc}") from exc
    if not line.endswith(b"\n"):
        raise RouterError(f"the lab at {path} ended before it answered")
    return decode_answer_untrusted(line)
