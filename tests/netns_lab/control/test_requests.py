"""Requests and answers survive the line; anything else is one known error."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns_lab.control.requests import (
    Cut,
    Heal,
    Info,
    Request,
    Revive,
    SetLink,
    Silence,
    Start,
    Stop,
    decode_answer_untrusted,
    decode_request_untrusted,
    encode_answer,
    encode_error,
    encode_request,
)
from re6st_core.errors import ConfigError, RouterError, WireError

NAMES = st.text(max_size=20)
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
REQUESTS: st.SearchStrategy[Request] = st.one_of(
    st.builds(Info),
    st.builds(Cut, NAMES, NAMES),
    st.builds(Heal, NAMES, NAMES),
    st.builds(Silence, NAMES),
    st.builds(Revive, NAMES),
    st.builds(Start, NAMES),
    st.builds(Stop, NAMES, kill=st.booleans()),
    st.builds(SetLink, NAMES, NAMES, rtt_ms=NUMBERS, loss=NUMBERS, one_way=st.booleans()),
)


@given(REQUESTS)
def test_a_request_is_one_line_and_comes_back_as_it_was(request_: Request) -> None:
    line = encode_request(request_)
    assert line.count(b"\n") == 1
    assert decode_request_untrusted(line) == request_


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"cut",
        b'{"do":"dance"}',
        b'{"do":"cut","a":"n1"}',
        b'{"do":"cut","a":"n1","b":2}',
        b'{"do":"info","more":1}',
        b'\xff{"do":"info"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_request_is_refused(line: bytes) -> None:
    with pytest.raises(WireError, match="not a request"):
        decode_request_untrusted(line)


def test_an_answer_is_the_dictionary_that_was_given() -> None:
    assert decode_answer_untrusted(encode_answer({"pid": 7})) == {"pid": 7}
    assert decode_answer_untrusted(encode_answer({})) == {}


def test_a_refusal_carries_all_reasons() -> None:
    with pytest.raises(ConfigError) as caught:
        decode_answer_untrusted(encode_error(ConfigError("no node 'x'", "loss is 2")))
    assert caught.value.problems == ("no node 'x'", "loss is 2")


def test_a_failure_is_not_the_asker_s_mistake() -> None:
    with pytest.raises(RouterError, match="the switch is dead"):
        decode_answer_untrusted(encode_error(RouterError("the switch is dead")))


@pytest.mark.parametrize("line", [b"", b"{}", b"null", b'{"answer":1}', b'{"refused":"one"}', b"\xff"])
def test_what_is_no_answer_is_one_error(line: bytes) -> None:
    with pytest.raises(WireError, match="not an answer"):
        decode_answer_untrusted(line)


@given(st.binary(max_size=60) | REQUESTS.map(lambda request: msgspec.json.encode([request])))
def test_any_bytes_are_a_request_or_a_wire_error(line: bytes) -> None:
    try:
        decode_request_untrusted(line)
    except WireError:
        pass
