"""Dates of HTTP, as servers write them, and nothing else."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from re6st_core.errors import WireError
from re6st_core.http_date import decode_http_date_untrusted, http_date

RFC_9110 = "Sun, 06 Nov 1994 08:49:37 GMT"


def test_the_example_of_the_rfc() -> None:
    when = datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)
    assert decode_http_date_untrusted(RFC_9110) == when
    assert http_date(when) == RFC_9110


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)))  # noqa: DTZ001  # made aware below
def test_both_ways(naive: datetime) -> None:
    when = naive.replace(tzinfo=UTC, microsecond=0)
    assert decode_http_date_untrusted(http_date(when)) == when


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", RFC_9110 + " ",
        "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 0000 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:60 GMT", "Sun, ٠٦ Nov 1994 08:49:37 GMT",
    ],
)  # fmt: skip
def test_garbage_is_one_known_error(text: str) -> None:
    with pytest.raises(WireError):
        decode_http_date_untrusted(text)
