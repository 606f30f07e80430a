"""Any bytes from babeld give events or WireError, and the C reader does what the reference does."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from babel_ctl._native._reader import ffi, lib
from babel_ctl.codec import decode_record_untrusted
from babel_ctl.connection import Connection, Phase
from babel_ctl.messages import RECORD, Kind, Row, record_of
from re6st_core.errors import WireError

GREETING = b"BABEL 1.0\nversion babeld-1.12.1\nhost h\nmy-id 02:00:00:00:00:00:00:01\nok\nok\n"
BOUND = 40

WORDS = [
    b"add", b"change", b"flush", b"interface", b"neighbour", b"xroute", b"route", b"ok", b"no", b"bad",
    b"done",
    b"up", b"true", b"false", b"ipv4", b"ipv6", b"fe80::1", b"192.0.2.1", b"::ffff:192.0.2.1", b"if", b"t0",
    b"prefix", b"from", b"::/0", b"0.0.0.0/0", b"2001:db8::/32", b"2001:db8::1/32", b"192.0.2.0/24", b"id",
    b"installed", b"yes", b"02:00:00:00:00:00:00:01", b"metric", b"65535", b"refmetric", b"4294967296",
    b"via",
    b"reach", b"ureach", b"ffff", b"rxcost", b"txcost", b"cost", b"rtt", b"1.234", b"4294967.296", b"rttcost",
    b"", b"\0", b"\xff", b"55d0", b"name-of-17-chars.", b"/", b"BABEL 1.0", b"my-id", b"version",
]  # fmt: skip


def prefixes() -> st.SearchStrategy[bytes]:
    v6 = st.tuples(st.integers(0, 3), st.sampled_from([0, 32, 64])).map(
        lambda t: b"::/0" if t[1] == 0 else b"2001:db8:0:%x::/64" % t[0] if t[1] == 64 else b"2001:db8::/32"
    )
    return v6 | st.sampled_from([b"192.0.2.0/24", b"0.0.0.0/0"])


names = st.sampled_from([b"t0", b"t1", b"t2", b"\xff\x01", b""])
numbers = st.sampled_from([b"0", b"16", b"96", b"100", b"65535"])
ids = st.integers(0, 5).map(lambda n: b"55d%x" % n)
verbs = st.sampled_from([b"add", b"add", b"change", b"flush"])


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """Lines as babeld prints them, over few keys so that they meet."""
    kind = draw(st.sampled_from([b"interface", b"neighbour", b"xroute", b"route", b"route", b"novelty"]))
    verb = draw(verbs)
    if kind == b"interface":
        rest = draw(
            st.sampled_from([b"up false", b"up true ipv6 fe80::1", b"up true ipv6 fe80::2 ipv4 192.0.2.1"])
        )
        return b"%s interface %s %s\n" % (verb, draw(st.sampled_from([b"t0", b"t1"])), rest)
    if kind == b"neighbour":
        rtt = draw(st.sampled_from([b"", b" rtt 12.345 rttcost 110"]))
        form = b"%s neighbour %s address fe80::1 if %s reach ff00 ureach 0000 rxcost %s txcost 96%s cost 96\n"
        return form % (
            verb, draw(ids), draw(names), draw(numbers), rtt,
        )  # fmt: skip
    if kind == b"xroute":
        prefix, source = draw(prefixes()), draw(st.sampled_from([b"::/0", b"2001:db8::/32"]))
        return b"%s xroute %s-%s prefix %s from %s metric %s\n" % (
            verb,
            prefix,
            source,
            prefix,
            source,
            draw(numbers),
        )
    if kind == b"route":
        form = (
            b"%s route %s prefix %s from %s installed %s id 02:00:00:00:00:00:00:0%d "
            b"metric %s refmetric 0 via fe80::1 if %s\n"
        )
        return form % (
            verb, draw(ids), draw(prefixes()), draw(st.sampled_from([b"::/0", b"2001:db8::/32"])),
            draw(st.sampled_from([b"yes", b"no"])), draw(st.integers(0, 9)), draw(numbers), draw(names),
        )  # fmt: skip
    return b"%s novelty of a later babeld\n" % verb


def noise() -> st.SearchStrategy[bytes]:
    lines = st.lists(st.sampled_from(WORDS), max_size=30).map(lambda words: b" ".join(words) + b"\n")
    return lines | st.binary(max_size=40) | st.just(b"x" * 700)


def spoilt() -> st.SearchStrategy[bytes]:
    """A good record with one byte changed, dropped or doubled."""

    def spoil(args: tuple[bytes, int, int, int]) -> bytes:
        line, at, how, byte = args
        at %= len(line)
        return line[:at] + (bytes([byte]), b"", line[at : at + 1] * 2)[how] + line[at + 1 :]

    return st.tuples(records(), st.integers(0, 300), st.integers(0, 2), st.integers(0, 255)).map(spoil)


class NativeReader:
    """The C reader without its thread, with the reference's interface."""

    def __init__(self, max_entries: int) -> None:
        self.reader: Any = ffi.gc(lib.reader_new(max_entries), lib.reader_free)

    def feed(self, data: bytes) -> bool:
        return bool(lib.reader_feed(self.reader, data, len(data)) == 0)

    def command(self, tag: int) -> bool:
        return bool(lib.reader_command(self.reader, b"unmonitor", tag) == 0)

    def answers(self) -> list[tuple[int, int, str]]:
        answer, found = ffi.new("reader_answer *"), []
        while lib.reader_answer_next(self.reader, answer):
            found.append((answer.tag, answer.status, ffi.string(answer.message).decode("ascii", "replace")))
        return found

    def status(self) -> Any:
        status = ffi.new("reader_status *")
        lib.reader_get_status(self.reader, status)
        return status

    def rows(self, kind: Kind) -> list[Row]:
        count, version = ffi.new("int64_t *"), ffi.new("uint64_t *")
        found = lib.reader_snapshot(self.reader, kind, count, version)
        try:
            return list(
                RECORD.iter_unpack(bytes(ffi.buffer(found, count[0] * RECORD.size)) if count[0] else b"")
            )
        finally:
            lib.reader_release(found)

    def take(self) -> dict[Kind, tuple[list[Row], list[Row]]]:
        found, counts = ffi.new("reader_record **"), ffi.new("int64_t[10]")
        assert lib.reader_take(self.reader, found, counts) == 0
        rows = list(RECORD.iter_unpack(bytes(ffi.buffer(found[0], sum(counts) * RECORD.size))))
        lib.reader_release(found[0])
        groups = []
        for size in counts:
            groups.append(rows[:size])
            rows = rows[size:]
        return {kind: (groups[2 * kind], groups[2 * kind + 1]) for kind in Kind}


class Pair:
    """Both readers, fed with the same; any difference fails."""

    def __init__(self, max_entries: int = BOUND) -> None:
        self.native = NativeReader(max_entries)
        self.reference = Connection(max_entries)

    def feed(self, data: bytes) -> bool:
        try:
            self.reference.feed_untrusted(data)
            good = True
        except WireError:
            good = False
        assert self.native.feed(data) is good, (data, self.native.status().error)
        return good

    def compare(self) -> None:
        status = self.native.status()
        assert status.phase == self.reference.phase.value
        assert status.connections == self.reference.connections
        answers = [(tag, status.value, text) for tag, status, text in self.reference.answers]
        assert self.native.answers() == answers
        self.reference.answers.clear()
        tables = self.reference.tables
        for kind in Kind:
            rows = list(tables.live[kind].values())
            if kind is Kind.BEST:
                rows = [
                    row
                    for row in rows
                    if row[6] == 0 and not (row[5] >= 96 and row[7][:12] == bytes(10) + b"\xff\xff")
                ]
            assert sorted(self.native.rows(kind)) == sorted(rows)
            for row in rows:
                record_of(row)

    def compare_changes(self) -> None:
        ours, theirs = self.native.take(), self.reference.tables.take()
        for kind in Kind:
            for mine, other in zip(ours[kind], theirs[kind], strict=True):
                assert sorted(mine) == sorted(other)
        assert self.native.status().pending == 0
        live = sum(len(table) for table in self.reference.tables.live.values())
        assert self.native.status().allocated == live


pieces = st.lists(
    records() | records() | spoilt() | noise() | st.sampled_from([b"ok\n", b"no x\n", b"bad\n"]), max_size=12
)


TWO_INSTALLED = [
    b"add route %s prefix 0.0.0.0/0 from 2001:db8::/32 installed yes id 02:00:00:00:00:00:00:00"
    b" metric 0 refmetric 0 via fe80::1 if t0\n" % id_
    for id_ in (b"55d0", b"55d1")
]


@given(st.booleans(), pieces, st.sets(st.integers(0, 11)), st.sets(st.integers(0, 11)))
@example(True, [TWO_INSTALLED[0], TWO_INSTALLED[1], b"\n"], {0}, set())  # which of the two was there last?
def test_any_stream_gives_events_or_the_known_error(
    greeted: bool, stream: list[bytes], takes: set[int], commands: set[int]
) -> None:
    pair = Pair()
    if greeted:
        assert pair.feed(GREETING)
    for number, piece in enumerate(stream):
        if number in commands:
            assert pair.native.command(number) is pair.reference.command(number)
        good = pair.feed(piece)
        pair.compare()
        if number in takes:
            pair.compare_changes()
        if not good:
            assert pair.reference.phase is Phase.DISCONNECTED
            pair.feed(GREETING)
    pair.compare_changes()


@given(st.lists(records(), max_size=60), st.sets(st.integers(0, 59)))
def test_tables_best_routes_and_merged_changes_are_the_references(
    lines: list[bytes], takes: set[int]
) -> None:
    pair = Pair()
    pair.feed(GREETING)
    for number, line in enumerate(lines):
        pair.feed(line)
        pair.compare()
        if number in takes:
            pair.compare_changes()
    pair.native.feed(b"!\n")
    pair.reference.reset()
    pair.compare()
    pair.compare_changes()


@given(st.lists(records(), max_size=30))
def test_the_bound_holds_however_late_the_changes_are_taken(lines: list[bytes]) -> None:
    pair = Pair(max_entries=5)
    pair.feed(GREETING)
    for line in lines:
        if not pair.feed(line):
            pair.feed(GREETING)
        pair.compare()
        assert pair.native.status().allocated <= 5
    pair.compare_changes()


@given(st.lists(records() | spoilt() | noise(), max_size=8))
@example([b"x" * 1024])
@example([b"x" * 1023 + b"\n"])
def test_byte_by_byte_is_the_same_as_whole(stream: list[bytes]) -> None:
    data = GREETING + b"".join(stream)
    whole, single = NativeReader(BOUND), NativeReader(BOUND)
    reference = Connection(BOUND)
    good = whole.feed(data)
    for byte in data:
        if not single.feed(bytes([byte])):
            assert not good
            return
        try:
            reference.feed_untrusted(bytes([byte]))
        except WireError:
            pytest.fail("the reference refuses what the C reader takes")
    assert good
    for kind in Kind:
        assert sorted(whole.rows(kind)) == sorted(single.rows(kind))


@given(st.lists(st.sampled_from(WORDS), max_size=20).map(b" ".join) | spoilt() | st.binary(max_size=60))
def test_any_record_line_gives_a_record_or_the_known_error(line: bytes) -> None:
    try:
        decode_record_untrusted(b"add " + line)
    except WireError:
        pass
