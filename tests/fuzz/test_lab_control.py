"""The lab's control socket: any line is a request, an answer, or the one known error."""

from hypothesis import example, given
from hypothesis import strategies as st

from netns_lab.control.requests import decode_answer_untrusted, decode_request_untrusted
from re6st_core.errors import ConfigError, RouterError, WireError

LINES = st.binary(max_size=200) | st.text(
    alphabet='{}[]":,0123456789eE.-+ntuflase\\dowcabhkinfrsp', max_size=80
).map(str.encode)


@given(LINES)
@example(b'{"do":"cut","a":"\\ud800","b":""}')
@example(b"[" * 5000)
@example(b'{"do":"link","a":"","b":"","mtu":1e400}')
def test_any_line_is_a_request_or_a_wire_error(line: bytes) -> None:
    try:
        decode_request_untrusted(line)
    except WireError:
        pass


@given(LINES)
@example(b'{"refused":[],"failed":""}')
@example(b'{"answer":null,"failed":"x"}')
def test_any_line_is_an_answer_or_a_known_error(line: bytes) -> None:
    try:
        decode_answer_untrusted(line)
    except (WireError, ConfigError, RouterError):
        pass
