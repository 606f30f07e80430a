"""On which line of a TOML file each key and each value stands; tomllib tells what they are, not where.

Pure.  The text must be well-formed: whoever calls has given it to tomllib before.  A place in the document is
its path: ``("site", 2, "nodes", 0)`` is the first node of the third ``[[site]]``.
"""

import re
import tomllib
from bisect import bisect
from collections.abc import Mapping

Path = tuple[str | int, ...]

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")  # between tokens, comments too
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
# The long forms first.  A long string may end in up to two more quotes, which are part of it.
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")  # numbers, booleans, dates


def lines_of(text: str) -> dict[Path, int]:
    """Line (from 1) of every key and value of a well-formed TOML document.

    A table is where it is first named, an element of an array where it begins.
    """
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


def nearest_line(lines: Mapping[Path, int], path: Path) -> int:
    """The line of a place, or of the innermost place around it that exists; 1 for the document itself."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


class _Scanner:
    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._text = text
        self._at = 0
        self._breaks = [match.start() for match in re.finditer("\n", text)]
        self._elements: dict[Path, int] = {}  # how many an array of tables has so far

    def document(self) -> None:
        table: Path = ()
        while self._next_token():
            if self._take("[["):
                table = self._header(array=True)
            elif self._take("["):
                table = self._header(array=False)
            else:
                self._assignment(table)

    def _header(self, *, array: bool) -> Path:
        """The rest of a ``[table]`` or ``[[array of tables]]`` line; returns where its keys belong."""
        line = self._line()
        keys = self._keys()
        path: Path = ()
        for i, key in enumerate(keys):
            path = (*path, key)
            self._note(path, line)
            if array and i == len(keys) - 1:
                self._elements[path] = self._elements.get(path, 0) + 1
            if path in self._elements:  # an array of tables: its last element is meant
                path = (*path, self._elements[path] - 1)
                self._note(path, line)
        self._take("]]" if array else "]")
        return path

    def _assignment(self, table: Path) -> None:
        path = table
        for key in self._keys():
            path = (*path, key)
            self._note(path, self._line())
        self._take("=")
        self._value(path)

    def _value(self, path: Path) -> None:
        self._next_token()
        string = _STRING.match(self._text, self._at)
        if string:
            self._at = string.end()
        elif self._take("["):
            index = 0
            while self._next_token() and not self._take("]"):
                self._note((*path, index), self._line())
                self._value((*path, index))
                index += 1
                self._take(",")
        elif self._take("{"):
            while self._next_token() and not self._take("}"):
                self._assignment(path)
                self._take(",")
        else:
            scalar = _SCALAR.match(self._text, self._at)
            assert scalar, f"not TOML at character {self._at}"
            self._at = scalar.end()

    def _keys(self) -> list[str]:
        keys = [self._key()]
        while self._take("."):
            keys.append(self._key())
        return keys

    def _key(self) -> str:
        self._next_token()
        bare = _BARE_KEY.match(self._text, self._at)
        match = bare or _STRING.match(self._text, self._at)
        assert match, f"not TOML at character {self._at}"
        self._at = match.end()
        return bare[0] if bare else str(tomllib.loads(f"key = {match[0]}")["key"])

    def _next_token(self) -> bool:
        """Skip to the next token; False: the text ends here."""
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at
        return self._at < len(self._text)

    def _take(self, token: str) -> bool:
        """Skip a token that may come next; whether it did."""
        self._next_token()
        found = self._text.startswith(token, self._at)
        self._at += len(token) * found
        return found

    def _line(self) -> int:
        return bisect(self._breaks, self._at - 1) + 1

    def _note(self, path: Path, line: int) -> None:
        self.lines.setdefault(path, line)
