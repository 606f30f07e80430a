"""Endpoints read back from their text; what no packet could be sent to is refused."""

from ipaddress import ip_address

import pytest
from hypothesis import given

from re6st_core.address import (
    MAX_ENDPOINTS,
    Endpoint,
    Protocol,
    decode_endpoint_untrusted,
    decode_endpoints_untrusted,
    format_endpoints,
)
from re6st_core.errors import WireError
from tests.helpers.core_strategies import endpoint_lists, endpoints


@given(endpoints())
def test_an_endpoint_reads_back_from_its_text(endpoint: Endpoint) -> None:
    assert decode_endpoint_untrusted(str(endpoint)) == endpoint


@given(endpoint_lists())
def test_a_list_reads_back_in_the_same_order(found: tuple[Endpoint, ...]) -> None:
    assert decode_endpoints_untrusted(format_endpoints(found)) == found


@pytest.mark.parametrize(
    ("text", "protocol"),
    [
        ("203.0.113.5,1194,udp", Protocol.UDP),
        ("203.0.113.5,1194,tcp4", Protocol.TCP),
        ("2001:db8::5,1194,udp6", Protocol.UDP),
        ("2001:db8::5,443,tcp6,FR", Protocol.TCP),
    ],
)
def test_the_address_family_follows_from_the_address(text: str, protocol: Protocol) -> None:
    endpoint = decode_endpoint_untrusted(text)
    assert endpoint.protocol is protocol
    host, port = text.split(",")[:2]
    assert endpoint.socket_address == (host, int(port))


def test_the_written_form_names_the_family_of_ipv6() -> None:
    assert str(Endpoint(ip_address("203.0.113.5"), 1194, Protocol.UDP)) == "203.0.113.5,1194,udp"
    assert str(Endpoint(ip_address("2001:db8::5"), 443, Protocol.TCP, "FR")) == "2001:db8::5,443,tcp6,FR"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "203.0.113.5",
        "203.0.113.5,1194",
        "203.0.113.5,1194,udp,FR,x",
        "203.0.113.5,0,udp",
        "203.0.113.5,65536,udp",
        "203.0.113.5,+1,udp",
        "203.0.113.5,²,udp",
        "203.0.113.5,1194,sctp",
        "203.0.113.5,1194,udp,fr",
        "203.0.113.5,1194,udp,FR\n",
        "host.example,1194,udp",
        "224.0.0.1,1194,udp",
        "0.0.0.0,1194,udp",
        "::,1194,udp6",
        "ff02::1,1194,udp6",
        "fe80::1,1194,udp6",
        "fe80::1%eth0,1194,udp6",
        "::ffff:203.0.113.5,1194,udp6",
    ],
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        decode_endpoint_untrusted(text)


def test_no_text_is_no_endpoint_and_a_trailing_semicolon_is_an_error() -> None:
    assert decode_endpoints_untrusted("") == ()
    with pytest.raises(WireError):
        decode_endpoints_untrusted("203.0.113.5,1194,udp;")


def test_a_peer_cannot_make_us_try_many_endpoints() -> None:
    one = "203.0.113.5,1194,udp"
    assert len(decode_endpoints_untrusted(";".join([one] * MAX_ENDPOINTS))) == MAX_ENDPOINTS
    with pytest.raises(WireError):
        decode_endpoints_untrusted(";".join([one] * (MAX_ENDPOINTS + 1)))


@given(endpoints(), endpoints())
def test_endpoints_of_both_families_can_be_sorted_together(one: Endpoint, other: Endpoint) -> None:
    assert (one < other) + (other < one) + (one == other) == 1
