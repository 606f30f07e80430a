"""Parameters are believed because the CA signed them; senseless ones can be neither signed nor accepted."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from re6st_core.errors import ConfigError, WireError
from re6st_core.json_wire import encode_json
from re6st_core.netparams import (
    NetworkParameters,
    SignedParameters,
    sign_parameters,
    verify_parameters_untrusted,
)
from re6st_core.signature import sign
from tests.helpers.core_certificates import CA, CA_KEY, NODE_KEY, OTHER_CA_KEY, make_ca, rsa_key

PARAMETERS = NetworkParameters(version=3, client_count=4, same_country=("FR",), revoked=(7, 2**150))
CONTEXT = b"re6st network parameters v1\0"

valid_parameters = st.builds(
    NetworkParameters,
    version=st.integers(1, 2**53),
    hello_s=st.floats(0.1, 300),
    client_count=st.integers(0, 40),
    max_clients=st.integers(0, 40),
    tunnel_refresh_s=st.floats(1, 86400),
    rtt_min_ms=st.integers(1, 60000),
    rtt_max_ms=st.integers(1, 60000),
    max_rtt_penalty=st.integers(0, 65535),
    rxcost=st.integers(1, 65535),
    same_country=st.lists(st.from_regex("[A-Z]{2}", fullmatch=True), max_size=3).map(tuple),
    revoked=st.sets(st.integers(1, 2**63), max_size=5).map(lambda serials: tuple(sorted(serials))),
).filter(lambda parameters: not parameters.problems())


@given(valid_parameters)
def test_what_the_ca_signed_reads_back(parameters: NetworkParameters) -> None:
    assert verify_parameters_untrusted(sign_parameters(parameters, CA_KEY), CA) == parameters


def test_an_rsa_ca_signs_too() -> None:
    assert (
        verify_parameters_untrusted(sign_parameters(PARAMETERS, rsa_key()), make_ca(key=rsa_key()))
        == PARAMETERS
    )


def test_only_the_network_ca_counts() -> None:
    for key in (OTHER_CA_KEY, NODE_KEY):
        with pytest.raises(WireError, match="not signed by"):
            verify_parameters_untrusted(sign_parameters(PARAMETERS, key), CA)


def test_another_body_under_the_same_signature_is_refused() -> None:
    signed = sign_parameters(PARAMETERS, CA_KEY)
    later = sign_parameters(replace(PARAMETERS, version=4), CA_KEY)
    with pytest.raises(WireError, match="not signed by"):
        verify_parameters_untrusted(SignedParameters(later.body, signed.signature), CA)


def test_a_signature_made_for_something_else_is_refused() -> None:
    body = encode_json(PARAMETERS)
    for context in (b"", b"re6st tunnel negotiation v1\0"):
        forged = SignedParameters(
            base64.b64encode(body).decode(), base64.b64encode(sign(CA_KEY, context + body)).decode()
        )
        with pytest.raises(WireError, match="not signed by"):
            verify_parameters_untrusted(forged, CA)


@pytest.mark.parametrize("text", ["%", "é", "AAA", "A A="])
def test_what_is_not_base64_is_refused(text: str) -> None:
    signed = sign_parameters(PARAMETERS, CA_KEY)
    with pytest.raises(WireError, match="base64"):
        verify_parameters_untrusted(SignedParameters(text, signed.signature), CA)
    with pytest.raises(WireError, match="base64"):
        verify_parameters_untrusted(SignedParameters(signed.body, text), CA)


SENSELESS = [
    {"version": 0},
    {"version": 2**53 + 1},
    {"hello_s": 0.0},
    {"hello_s": float("nan")},
    {"hello_s": float("inf")},
    {"client_count": -1},
    {"client_count": 41},
    {"max_clients": 41},
    {"tunnel_refresh_s": 0.5},
    {"rtt_min_ms": 0},
    {"rxcost": 0},
    {"rxcost": 65536},
    {"same_country": ("fr",)},
    {"same_country": ("FRA",)},
]


@pytest.mark.parametrize("change", SENSELESS)
def test_senseless_values_are_refused_by_name_on_both_sides(change: dict[str, object]) -> None:
    parameters = replace(PARAMETERS, **change)  # type: ignore[arg-type]  # any of the fields
    with pytest.raises(ConfigError):
        sign_parameters(parameters, CA_KEY)
    body = encode_json(parameters)
    signed = SignedParameters(
        base64.b64encode(body).decode(), base64.b64encode(sign(CA_KEY, CONTEXT + body)).decode()
    )
    with pytest.raises(WireError):
        verify_parameters_untrusted(signed, CA)


def test_every_problem_is_listed() -> None:
    with pytest.raises(ConfigError) as caught:
        replace(PARAMETERS, hello_s=0.0, rxcost=0, same_country=("x",)).check()
    assert len(caught.value.problems) == 3
    assert PARAMETERS.check() is PARAMETERS
