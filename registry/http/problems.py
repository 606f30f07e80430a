"""The one place where errors become HTTP statuses, as RFC 9457 problem documents."""

import logging
import ssl
from collections.abc import Awaitable, Callable
from math import ceil

from aiohttp import web

from re6st_core.errors import CertificateError, WireError
from re6st_core.json_wire import encode_json
from re6st_core.registry_wire import PROBLEM_TYPE, Problem
from registry import errors

_log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

STATUSES: dict[type[Exception], tuple[int, str]] = {
    WireError: (400, "The message is not valid"),
    errors.BadRequestError: (400, "The request makes no sense"),
    errors.NotAllowedError: (403, "Not allowed"),
    CertificateError: (403, "The certificate is not accepted"),
    TimeoutError: (408, "The request was not complete in time"),
    errors.NoPrefixError: (409, "No prefix is free"),
    errors.TooManyError: (429, "Too many requests"),
    errors.StoreFailedError: (503, "The registry cannot work now"),
    errors.StoreFullError: (507, "The registry's disk is full"),
}
"""Besides these: 401 (no certificate), 404, 405, 413 and other refusals of HTTP itself."""


def problem(status: int, title: str, detail: str = "", headers: dict[str, str] | None = None) -> web.Response:
    """A problem document."""
    body = encode_json(Problem(title=title, status=status, detail=detail))
    return web.Response(status=status, body=body, content_type=PROBLEM_TYPE, headers=headers)


@web.middleware
async def explain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer with a problem document whatever a handler raises."""
    try:
        return await handler(request)
    except web.HTTPException as exc:  # unknown path, wrong method, body too large
        headers = {"Allow": exc.headers["Allow"]} if "Allow" in exc.headers else None
        return problem(exc.status, exc.reason, headers=headers)
    except (ConnectionError, ssl.SSLError):
        raise  # nobody is there to read an answer
    except Exception as exc:
        for kind in type(exc).__mro__:
            if kind in STATUSES:
                return _known(exc, *STATUSES[kind])
        _log.exception("%s %s: internal error", request.method, ascii(request.path))
        return problem(500, "Internal error")


def _known(exc: Exception, status: int, title: str) -> web.Response:
    detail = str(exc)
    if status >= 500:
        _log.error("%s", detail)
        detail = "nothing was changed; come again later"  # paths are nobody's business
    headers = {"Retry-After": str(ceil(exc.retry_s))} if isinstance(exc, errors.TooManyError) else None
    return problem(status, title, detail, headers)
