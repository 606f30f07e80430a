"""Lines of keys and values: against documents whose every value says on which line it was written."""

import tomllib
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from netns_lab.topology.lines import Path, lines_of, nearest_line

TRICKY = '''\
title = "a # no comment, [no] table, no = key"   # a comment: [x] = "
text = """one
two "quoted" [[three]]
\\""" still """""     # two quotes belong to it
raw = \'\'\'
C:\\[[path]]\'\'\'
a . "b.c" . 'd' = 1

[[site]]
name = "n1"
nodes = [  # several
    "x]",
    'y#', { z = [1,
    2] },
]

[[site]]
  [site.inner]
  at = 1979-05-27 07:32:00
  [[site.inner.deep]]
  k = {a = 1, b.c = [ ]}
  [[site.inner.deep]]

["quoted \\u0065\\"]"]
-1_ = +inf
'''


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every path that exists in a decoded document."""
    items: Any = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def test_strings_comments_and_nested_tables_do_not_confuse_it() -> None:
    lines = lines_of(TRICKY)
    assert set(lines) == set(places(tomllib.loads(TRICKY)))
    for path, line in {
        ("text",): 2,
        ("raw",): 5,
        ("a", "b.c", "d"): 7,
        ("site",): 9,
        ("site", 0, "nodes", 1): 13,
        ("site", 0, "nodes", 2, "z", 1): 14,
        ("site", 1): 17,
        ("site", 1, "inner", "at"): 19,
        ("site", 1, "inner", "deep", 0, "k", "b", "c"): 21,
        ("site", 1, "inner", "deep", 1): 22,
        ('quoted e"]', "-1_"): 25,
    }.items():
        assert lines[path] == line, path


def test_windows_line_ends_count_once() -> None:
    assert lines_of("a = 1\r\n\r\nb = [\r\n2]\r\n") == {("a",): 1, ("b",): 3, ("b", 0): 4}


def test_the_nearest_line_is_that_of_what_is_around() -> None:
    lines = lines_of("\n[a]\nb = [\n1,\n2]\n")
    assert nearest_line(lines, ("a", "b", 1)) == 5
    assert nearest_line(lines, ("a", "b", 7)) == 3
    assert nearest_line(lines, ("a", "missing")) == 2
    assert nearest_line(lines, ("elsewhere",)) == 1


KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6),
)
COMMENTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8).map(lambda text: f"# {text}\n")
GAPS = st.lists(st.one_of(st.just("\n"), COMMENTS), max_size=2).map("".join)


class Writer:
    """Writes a document, and beside it the line of each place."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[Path, int] = {}

    @property
    def line(self) -> int:
        return self.text.count("\n") + 1

    def key(self, key: str) -> str:
        if key and all(c.isascii() and (c.isalnum() or c in "_-") for c in key) and self.draw(st.booleans()):
            return key
        if "'" not in key and self.draw(st.booleans()):
            return f"'{key}'"
        return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def string(self) -> str:
        content = self.draw(st.text("ab\"\\\n#[]{}='", max_size=8))
        escaped = content.replace("\\", "\\\\")
        match self.draw(st.integers(0, 3)):
            case 0:
                return '"' + escaped.replace('"', '\\"').replace("\n", "\\n") + '"'
            case 1:
                return (
                    '"""' + escaped.replace('"', '\\"') + self.draw(st.sampled_from(["", '"', '""'])) + '"""'
                )
            case 2:
                return "'" + content.replace("'", "").replace("\n", "") + "'"
            case _:
                return "'''" + content.replace("'", "") + "'''"

    def value(self, path: Path, depth: int) -> None:
        kind = self.draw(st.integers(0, 4 if depth else 2))
        if kind <= 1:
            self.text += self.draw(
                st.sampled_from(["1", "-0.5e3", "true", "nan", "1979-05-27 07:32:00", "0x1F"])
            )
        elif kind == 2:
            self.text += self.string()
        elif kind == 3:
            self.text += "["
            count = self.draw(st.integers(0, 3))
            for i in range(count):
                self.text += self.draw(GAPS)
                self.lines[(*path, i)] = self.line
                self.value((*path, i), depth - 1)
                self.text += "," if i < count - 1 or self.draw(st.booleans()) else ""
            self.text += self.draw(GAPS) + "]"
        else:
            self.text += "{"
            keys = self.draw(st.lists(KEYS, max_size=2, unique=True))
            for i, key in enumerate(keys):
                self.text += ", " if i else " "
                self.lines[(*path, key)] = self.line
                self.text += f"{self.key(key)} = "
                self.value((*path, key), depth - 1)
            self.text += " }"

    def pairs(self, path: Path) -> None:
        for key in self.draw(st.lists(KEYS, max_size=3, unique=True)):
            self.text += self.draw(GAPS)
            inner = (*path, key)
            self.lines[inner] = self.line
            self.text += self.key(key)
            if self.draw(st.booleans()):
                inner = (*inner, "dotted")
                self.lines[inner] = self.line
                self.text += " . dotted"
            self.text += " = "
            self.value(inner, 2)
            self.text += self.draw(st.one_of(st.just("\n"), COMMENTS))


@st.composite
def documents(draw: st.DrawFn) -> Writer:
    writer = Writer(draw)
    writer.pairs(())
    top = {path[0] for path in writer.lines}
    for name in draw(st.lists(KEYS.filter(lambda key: key not in top), max_size=3, unique=True)):
        for i in range(draw(st.integers(0, 2))):
            writer.text += draw(GAPS)
            writer.lines.setdefault((name,), writer.line)
            writer.lines[name, i] = writer.line
            writer.text += f"[[ {writer.key(name)} ]]\n"
            writer.pairs((name, i))
            if (name, i, "sub") not in writer.lines and draw(st.booleans()):
                writer.lines[name, i, "sub"] = writer.line
                writer.text += f"[{writer.key(name)}.sub]\n"
                writer.pairs((name, i, "sub"))
    return writer


@given(documents())
def test_any_document_is_located_as_it_was_written(document: Writer) -> None:
    assert set(places(tomllib.loads(document.text))) == set(document.lines)
    assert lines_of(document.text) == document.lines
