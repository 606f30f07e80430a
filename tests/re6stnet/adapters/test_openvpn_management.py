"""OpenVPN's status is read, or refused with the known error."""

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from re6st_core.errors import WireError
from re6stnet.adapters.openvpn_management import Client, decode_status_untrusted

# From OpenVPN 2.6.14 (Debian 12), "status 3".
STATUS = (
    "TITLE\tOpenVPN 2.6.14 x86_64-pc-linux-gnu\n"
    "TIME\t2026-11-23 04:00:00\t1795406400\n"
    "HEADER\tCLIENT_LIST\tCommon Name\tReal Address\tVirtual Address\n"
    "CLIENT_LIST\t7/16\t192.0.2.2:41000\t\t\t3000\t4000\t2026-11-23 03:59:00\t1795406340\tUNDEF\t0\t0\tAES\n"
    "CLIENT_LIST\tUNDEF\t192.0.2.3:41000\t\t\t0\t0\t2026-11-23 03:59:00\t1795406340\tUNDEF\t1\t1\t\n"
    "GLOBAL_STATS\tMax bcast/mcast queue length\t0\nEND"
)


def test_clients_are_those_whose_handshake_is_over() -> None:
    since = datetime.fromtimestamp(1795406340, UTC)
    assert decode_status_untrusted(STATUS) == (Client("7/16", since, 3000, 4000),)


@pytest.mark.parametrize(
    "rest", ["", "\tx", "\t7/16\ta\t\t\tx\t1\t\t1", "\t7/16\ta\t\t\t1\t1\t\t99999999999999"]
)
def test_malformed_client_is_refused(rest: str) -> None:
    with pytest.raises(WireError):
        decode_status_untrusted("CLIENT_LIST" + rest)


@given(st.lists(st.text(max_size=8)).map("\t".join))
def test_any_line_gives_clients_or_the_known_error(rest: str) -> None:
    with contextlib.suppress(WireError):
        decode_status_untrusted("CLIENT_LIST\t" + rest)
