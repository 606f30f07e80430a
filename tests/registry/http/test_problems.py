"""Every error has one status, and its document says no more than the caller may know."""

import json

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from re6st_core.errors import CertificateError, WireError
from registry import errors
from registry.http.problems import explain_errors


async def answer(raised: Exception) -> web.Response:
    async def handler(_request: web.Request) -> web.StreamResponse:
        raise raised

    response = await explain_errors(make_mocked_request("GET", "/x"), handler)
    assert isinstance(response, web.Response)
    return response


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (WireError("x"), 400),
        (errors.BadRequestError("x"), 400),
        (web.HTTPUnauthorized(), 401),
        (errors.NotAllowedError("x"), 403),
        (CertificateError("x"), 403),
        (web.HTTPNotFound(), 404),
        (web.HTTPMethodNotAllowed("PUT", ["GET"]), 405),
        (TimeoutError(), 408),
        (errors.NoPrefixError("x"), 409),
        (web.HTTPRequestEntityTooLarge(1, 2), 413),
        (errors.TooManyError("x", 7), 429),
        (errors.StoreFailedError("x"), 503),
        (errors.StoreFullError("x"), 507),
    ],
)
async def test_each_error_has_its_status(raised: Exception, status: int) -> None:
    response = await answer(raised)
    assert response.status == status
    assert response.content_type == "application/problem+json"
    assert isinstance(response.body, bytes)
    assert json.loads(response.body)["status"] == status


async def test_when_to_come_again_and_what_is_allowed_is_said() -> None:
    assert (await answer(errors.TooManyError("x", 7))).headers["Retry-After"] == "7"
    assert (await answer(errors.TooManyError("x", 0.4))).headers["Retry-After"] == "1"
    assert (await answer(web.HTTPMethodNotAllowed("PUT", ["GET"]))).headers["Allow"] == "GET"


async def test_callers_do_not_learn_paths() -> None:
    response = await answer(errors.StoreFailedError("/var/lib/secret: locked"))
    assert isinstance(response.body, bytes)
    assert b"secret" not in response.body


async def test_a_bug_is_a_500_without_details(caplog: pytest.LogCaptureFixture) -> None:
    response = await answer(KeyError("secret"))
    assert response.status == 500
    assert isinstance(response.body, bytes)
    assert b"secret" not in response.body
    assert "internal error" in caplog.text


async def test_who_has_gone_gets_no_answer() -> None:
    with pytest.raises(ConnectionResetError):
        await answer(ConnectionResetError())
