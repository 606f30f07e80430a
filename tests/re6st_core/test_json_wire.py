"""JSON goes through one door: what comes out is what the class says, or a WireError."""

from dataclasses import dataclass

import pytest
from hypothesis import given

from re6st_core.address import Endpoint
from re6st_core.errors import WireError
from re6st_core.json_wire import MAX_JSON, decode_json_untrusted, encode_json
from re6st_core.prefix import Prefix
from tests.helpers.core_strategies import endpoint_lists, prefixes


@dataclass(frozen=True, slots=True)
class Sample:
    peer: Prefix
    endpoints: tuple[Endpoint, ...] = ()
    note: str = ""
    count: int = 0


@given(prefixes(), endpoint_lists())
def test_a_message_reads_back(peer: Prefix, endpoints: tuple[Endpoint, ...]) -> None:
    message = Sample(peer, endpoints, "é\n", 3)
    assert decode_json_untrusted(Sample, encode_json(message)) == message


def test_values_travel_as_text_in_the_order_of_the_class() -> None:
    assert encode_json(Sample(Prefix(16, 2))) == b'{"peer":"2/16","endpoints":[],"note":"","count":0}'


def test_unknown_members_are_ignored_and_defaults_filled_in() -> None:
    assert decode_json_untrusted(Sample, '{"peer": "2/16", "later": [1]}') == Sample(Prefix(16, 2))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"peer": 2}',
        b'{"peer": "2"}',
        b'{"peer": "2/16", "count": "3"}',
        b'{"peer": "2/16", "count": 1.5}',
        b'{"peer": "2/16", "count": null}',
        b'{"peer": "2/16", "endpoints": ["203.0.113.5,0,udp"]}',
        b'{"peer": "2/16", "endpoints": [{"ip": "203.0.113.5"}]}',
        b'{"peer": "2/16"} trailing',
        b'{"peer": "2/16", "later": ' + b"[" * 100_000,
    ],
)
def test_what_is_not_the_message_is_refused(text: bytes) -> None:
    with pytest.raises(WireError):
        decode_json_untrusted(Sample, text)


def test_a_large_message_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(WireError, match="bytes"):
        decode_json_untrusted(Sample, b" " * (MAX_JSON + 1))
    with pytest.raises(WireError, match="more than 10"):
        decode_json_untrusted(Sample, b'{"peer": "2/16"}', max_size=10)


def test_an_object_without_a_wire_form_is_a_bug() -> None:
    with pytest.raises(NotImplementedError):
        encode_json({"x": object()})
    with pytest.raises(NotImplementedError):
        decode_json_untrusted(type("Unknown", (), {}), b'"text"')
