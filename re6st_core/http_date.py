"""The date of an HTTP message, as servers send it (RFC 9110 §5.6.7, IMF-fixdate): seconds, always UTC.

Sun, 06 Nov 1994 08:49:37 GMT
"""

import re
from datetime import UTC, datetime

from re6st_core.errors import WireError

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE = re.compile(
    f"(?:{'|'.join(_DAYS)}), ([0-9]{{2}}) ({'|'.join(_MONTHS)}) ([0-9]{{4}}) "
    "([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)


def decode_http_date_untrusted(text: str) -> datetime:
    """Raises WireError; whether the day of the week is right does not matter."""
    match = _DATE.fullmatch(text)
    if match is None:
        raise WireError(f"{text[:40]!r} is not a date of HTTP")
    day, month, year, hour, minute, second = match.groups()
    try:
        return datetime(
            int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=UTC
        )
    except ValueError as exc:
        raise WireError(f"{text!r} is not a date: {exc}") from exc


def http_date(when: datetime) -> str:
    """The same, written; ``when``: timezone-aware."""
    when = when.astimezone(UTC)
    day, month = _DAYS[when.weekday()], _MONTHS[when.month - 1]
    return f"{day}, {when.day:02} {month} {when.year:04} {when:%H:%M:%S} GMT"
