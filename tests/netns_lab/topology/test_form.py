"""Values of a document: right ones are taken, wrong ones are named with their place and count as absent."""

import math
from ipaddress import IPv4Network
from typing import Any

import pytest

from netns_lab.topology.form import Mistakes, Table, did_you_mean


def table(**values: Any) -> Table:
    return Table(Mistakes("f.toml", {("k",): 3, ("k", 1): 5, ("o",): 2}), values, (), "site n1")


def test_a_mistake_is_told_with_source_line_place_and_text() -> None:
    form = table(k=["udp", "upd"], o="x")
    assert form.words("k", ("udp", "tcp")) == ("udp",)
    assert form.integer("o", 1, 3) is None
    assert form.mistakes.texts() == [
        "f.toml:2: site n1: o: 'x' is not a whole number from 1 to 3",
        "f.toml:5: site n1: k: 'upd' is not one of udp, tcp, did you mean 'udp'?",
    ]


def test_without_lines_the_source_alone_is_named() -> None:
    form = Table(Mistakes("f.toml", None), {"k": 1})
    form.text("k")
    assert form.mistakes.texts() == ["f.toml: k: 1 is not a text"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -1, 1e9, True, "1", None, [], 10**400])
def test_a_number_is_finite_and_in_its_range(value: object) -> None:
    form = table()
    assert form.as_number("k", value, 0, 10, "ms") is None
    assert form.mistakes.texts() == [f"f.toml:3: site n1: k: {value!r} is not a number from 0 to 10 ms"]
    assert form.as_number("k", 10, 0, 10) == 10.0


@pytest.mark.parametrize("value", [1.0, True, "1", 11, -1, math.nan])
def test_a_whole_number_is_no_other(value: object) -> None:
    form = table()
    assert form.as_integer("k", value, 0, 10) is None
    assert len(form.mistakes.found) == 1


def test_lists_flags_words_and_tables() -> None:
    form = table(
        k=["a", "a"], flag=1, one="B", t={}, ts=[{"name": "x"}, {}, 3], not_table=3, not_tables={}, text=""
    )
    assert form.words("k", ("a",)) == ("a",)
    assert form.flag("flag") is False
    assert form.one_of("one", ("a", "b")) is None
    assert form.items("text") is None
    assert form.table("not_table", "") is None
    assert form.tables("not_tables") == []
    assert [each.where for each in form.tables("ts")] == ["ts x", "ts 2"]
    assert form.table("t", "there") is not None
    assert [text.partition("site n1: ")[2] for text in form.mistakes.texts()] == [
        "flag: 1 is not true or false",
        "one: 'B' is not one of a, b, did you mean 'b'?",
        "text: '' is not a list",
        "not_table: must be a table",
        "not_tables: must be an array of tables: [[not_tables]]",
        "ts: 3 is not a table",
        "k: 'a' is given twice",
    ]


def test_absent_values_are_none_or_their_default() -> None:
    form = table()
    assert form.text("t", "default") == "default"
    assert form.network4("n", "10.0.0.0/8") == IPv4Network("10.0.0.0/8")
    absent = (form.address4("a"), form.address6("a"), form.number("a", 0, 1), form.one_of("a", ()))
    assert set(absent) == {None}
    assert form.mistakes.found == []


def test_networks_and_addresses_are_texts_of_their_kind() -> None:
    form = table(k="192.168.1.1/24", n=3232235777, six="::g", four="2001:db8::1")
    for read, key in (
        (form.network4, "k"),
        (form.address4, "n"),
        (form.address6, "six"),
        (form.address4, "four"),
        (form.network6, "four"),
    ):
        if (read, key) != (form.network6, "four"):
            assert read(key) is None, key
    assert "the bits of the host must be 0" in form.mistakes.texts()[-1]
    assert len(form.mistakes.found) == 4


def test_unknown_keys_are_named_with_the_one_that_was_meant() -> None:
    form = table(jiter_ms=1, zzz=2, o=3)
    form.only(("jitter_ms", "o"))
    assert [text for _, text in form.mistakes.found] == [
        "site n1: jiter_ms: unknown key, did you mean 'jitter_ms'?",
        "site n1: zzz: unknown key",
    ]
    assert did_you_mean("paris", ["Paris", "London"]) == ", did you mean 'Paris'?"


def test_sites_of_one_table_share_its_mistakes() -> None:
    form = table(o="x")
    for _ in range(2):
        form.integer("o", 1, 3)
    assert len(form.mistakes.found) == 1
