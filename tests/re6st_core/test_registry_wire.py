"""The bodies of the registry's API read back; its HTTPS address follows from its HTTP address."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from re6st_core.address import Endpoint, Protocol
from re6st_core.errors import ConfigError, WireError
from re6st_core.json_wire import decode_json_untrusted, encode_json
from re6st_core.peer_wire import MAX_MESSAGE
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import (
    MAX_BODY,
    MAX_RELAYED,
    BootstrapPeer,
    BootstrapRequest,
    BootstrapResponse,
    CertificateResponse,
    EnrolRequest,
    Problem,
    RelayFrame,
    RenewRequest,
    https_url,
)
from tests.helpers.core_strategies import endpoint_lists, endpoints, prefixes

peers = st.builds(BootstrapPeer, prefix=prefixes(), endpoints=endpoint_lists(), relayed=st.booleans())
bodies: st.SearchStrategy[object] = st.one_of(
    st.builds(
        EnrolRequest,
        csr=st.text(),
        token=st.none() | st.text(),
        email=st.none() | st.text(),
        location=st.none() | st.text(),
    ),
    st.builds(RenewRequest, csr=st.text()),
    st.builds(CertificateResponse, certificate=st.text()),
    st.builds(BootstrapRequest, endpoints=endpoint_lists()),
    st.builds(BootstrapResponse, observed=endpoints(), peers=st.lists(peers, max_size=3).map(tuple)),
    st.builds(RelayFrame, peer=prefixes(), message=st.text(), error=st.text()),
    st.builds(Problem, title=st.text(), status=st.integers(100, 599), detail=st.text(), type=st.text()),
)


@given(bodies)
def test_every_body_reads_back(body: object) -> None:
    assert decode_json_untrusted(type(body), encode_json(body)) == body


@pytest.mark.parametrize("text", [b"{}", b'{"csr": 1}', b'{"csr": "", "token": 5}', b'{"csr": null}'])
def test_a_request_of_the_wrong_shape_is_refused(text: bytes) -> None:
    with pytest.raises(WireError):
        decode_json_untrusted(EnrolRequest, text)


@given(st.binary(min_size=0, max_size=MAX_MESSAGE // 64))
def test_the_largest_peer_message_fits_a_relay_frame(raw: bytes) -> None:
    largest = (raw.hex() * 64)[
        :MAX_MESSAGE
    ]  # an envelope is JSON of base64 texts: nothing to escape but quotes
    frame = RelayFrame(peer=Prefix(80, (1 << 80) - 1), message=largest)
    assert len(encode_json(frame)) <= MAX_RELAYED <= MAX_BODY


def test_an_answer_with_many_peers_fits_a_body() -> None:
    endpoint = Endpoint(ip_address("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"), 65535, Protocol.TCP, "FR")
    peer = BootstrapPeer(prefix=Prefix(80, (1 << 80) - 1), endpoints=(endpoint,) * 16, relayed=True)
    assert len(encode_json(BootstrapResponse(observed=endpoint, peers=(peer,) * 40))) <= MAX_BODY


@pytest.mark.parametrize(
    ("http", "https"),
    [
        ("http://203.0.113.1/", "https://203.0.113.1"),
        ("http://203.0.113.1:80", "https://203.0.113.1"),
        ("http://registry.example:9001/", "https://registry.example:9002"),
        ("http://registry.example/mesh/", "https://registry.example/mesh"),
        ("http://[2001:db8::1]/", "https://[2001:db8::1]"),
        ("http://[2001:db8::1]:8080/", "https://[2001:db8::1]:8081"),
    ],
)
def test_https_is_on_443_for_80_else_on_the_next_port(http: str, https: str) -> None:
    assert https_url(http) == https


@pytest.mark.parametrize(
    "url",
    [
        "",
        "registry.example",
        "https://registry.example/",
        "ftp://registry.example/",
        "http:///",
        "http://user@registry.example/",
        "http://registry.example/?x",
        "http://registry.example/#x",
        "http://registry.example:65535/",
        "http://registry.example:65536/",
        "http://registry.example:port/",
        "http://[2001:db8::1/",
    ],
)
def test_a_url_that_is_no_registry_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        https_url(url)
