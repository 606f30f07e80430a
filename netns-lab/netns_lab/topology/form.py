"""Take values out of a TOML document and note every mistake, with its line, instead of stopping at one.

A value that is wrong is noted and counts as not given, so that the rest can still be read.  Pure.
"""

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, TypeVar

from netns_lab.topology.lines import Path, nearest_line

_Parsed = TypeVar("_Parsed")


def did_you_mean(word: object, known: Collection[object]) -> str:
    """A hint at the known word that looks like this one, or nothing."""
    near = difflib.get_close_matches(str(word).lower(), [str(each).lower() for each in known], n=1)
    named = [str(each) for each in known if near and str(each).lower() == near[0]]
    return f", did you mean {named[0]!r}?" if named else ""


@dataclass(slots=True)
class Mistakes:
    """The mistakes found so far in one document."""

    source: str
    lines: Mapping[Path, int] | None  # None: the document was not read from a text
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, path: Path, where: str, text: str) -> None:
        """Note a mistake at a place of the document; ``where`` is the place in words."""
        line = 0 if self.lines is None else nearest_line(self.lines, path)
        entry = (line, f"{where}: {text}" if where else text)
        if entry not in self.found:  # sites of one `count` share their mistakes
            self.found.append(entry)

    def texts(self) -> list[str]:
        """All of them, in the order of their lines, as an operator reads them."""
        return [
            f"{self.source}:{line}: {text}" if line else f"{self.source}: {text}"
            for line, text in sorted(self.found, key=lambda entry: entry[0])
        ]


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the document."""

    mistakes: Mistakes
    values: Mapping[str, Any]  # Any: what TOML gives
    path: Path = ()
    where: str = ""

    def wrong(self, key: str | None, text: str, *inside: int) -> None:
        """Note a mistake: of a key's value, of an element of it, or (key None) of the table."""
        parts = [self.where] if self.where else []
        path = self.path
        if key is not None:
            parts.append(key)
            path = (*path, key, *inside)
        self.mistakes.add(path, ": ".join(parts), text)

    def only(self, known: Collection[str]) -> None:
        """Note every key that is not known."""
        for key in self.values:
            if key not in known:
                self.wrong(key, f"unknown key{did_you_mean(key, known)}")

    def table(self, key: str, where: str) -> "Table | None":
        """A table inside this one."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.wrong(key, "must be a table")
            return None
        return Table(self.mistakes, value, (*self.path, key), where)

    def tables(self, key: str) -> "list[Table]":
        """The tables of a ``[[key]]``; their ``where`` is their name, else their place."""
        value = self.values.get(key, [])
        if not isinstance(value, list):
            self.wrong(key, f"must be an array of tables: [[{key}]]")
            return []
        tables = []
        for i, each in enumerate(value):
            if isinstance(each, dict):
                name = each["name"] if isinstance(each.get("name"), str) else i + 1
                tables.append(Table(self.mistakes, each, (*self.path, key, i), f"{key} {name}"))
            else:
                self.wrong(key, f"{each!r} is not a table", i)
        return tables

    def text(self, key: str, default: str | None = None) -> str | None:
        """A text."""
        value = self.values.get(key, default)
        return None if value is None else self.as_text(key, value)

    def flag(self, key: str) -> bool:
        """True or false; false when absent."""
        value = self.values.get(key, False)
        if isinstance(value, bool):
            return value
        self.wrong(key, f"{value!r} is not true or false")
        return False

    def number(self, key: str, low: float, high: float, unit: str = "") -> float | None:
        """A finite number in a range."""
        value = self.values.get(key)
        return None if value is None else self.as_number(key, value, low, high, unit)

    def integer(self, key: str, low: int, high: int) -> int | None:
        """A whole number in a range."""
        value = self.values.get(key)
        return None if value is None else self.as_integer(key, value, low, high)

    def one_of(self, key: str, known: Collection[str]) -> str | None:
        """One of several words."""
        value = self.values.get(key)
        return None if value is None else self.as_one_of(key, value, known)

    def words(self, key: str, known: Collection[str]) -> tuple[str, ...] | None:
        """A list of different words, each of them known."""
        values = self.items(key)
        if values is None:
            return None
        found = [self.as_one_of(key, each, known, i) for i, each in enumerate(values)]
        return tuple(self.different(key, found))

    def items(self, key: str) -> list[Any] | None:  # Any: what TOML gives
        """A list, of whatever."""
        value = self.values.get(key)
        if value is None or isinstance(value, list):
            return value
        self.wrong(key, f"{value!r} is not a list")
        return None

    def different(self, key: str, items: list[Any]) -> list[Any]:
        """The elements that are not None; one that was there before is a mistake."""
        kept: list[Any] = []
        for i, item in enumerate(items):
            if item is not None and item in kept:
                self.wrong(key, f"'{item}' is given twice", i)
            elif item is not None:
                kept.append(item)
        return kept

    def network4(self, key: str, default: str | None = None) -> IPv4Network | None:
        """An IPv4 network."""
        return self._parsed(key, default, IPv4Network, "an IPv4 network such as 192.168.1.0/24")

    def network6(self, key: str, default: str | None = None) -> IPv6Network | None:
        """An IPv6 network."""
        return self._parsed(key, default, IPv6Network, "an IPv6 network such as 2001:db8:1::/48")

    def address4(self, key: str) -> IPv4Address | None:
        """An IPv4 address."""
        return self._parsed(key, None, IPv4Address, "an IPv4 address such as 203.0.113.20")

    def address6(self, key: str) -> IPv6Address | None:
        """An IPv6 address."""
        return self._parsed(key, None, IPv6Address, "an IPv6 address such as 2001:db8:1::20")

    def as_text(self, key: str, value: object, *inside: int) -> str | None:
        """A value, perhaps inside the list of that key, if it is a text."""
        if isinstance(value, str):
            return value
        self.wrong(key, f"{value!r} is not a text", *inside)
        return None

    def as_number(
        self, key: str, value: object, low: float, high: float, unit: str = "", *inside: int
    ) -> float | None:
        """The same for a finite number in a range."""
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return float(value)  # never NaN: that is in no range
        self.wrong(key, f"{value!r} is not a number from {low:g} to {high:g}{unit and ' ' + unit}", *inside)
        return None

    def as_integer(self, key: str, value: object, low: int, high: int, *inside: int) -> int | None:
        """The same for a whole number in a range."""
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.wrong(key, f"{value!r} is not a whole number from {low} to {high}", *inside)
        return None

    def as_one_of(self, key: str, value: object, known: Collection[str], *inside: int) -> str | None:
        """The same for one of several words."""
        if isinstance(value, str) and value in known:
            return value
        hint = did_you_mean(value, known)
        self.wrong(key, f"{value!r} is not one of {', '.join(known)}{hint}", *inside)
        return None

    def _parsed(
        self, key: str, default: str | None, kind: Callable[[str], _Parsed], what: str
    ) -> _Parsed | None:
        value = self.values.get(key, default)
        if value is None:
            return None
        try:
            if isinstance(value, str):  # a number would be taken for an address too
                return kind(value)
        except ValueError as exc:
            if "host bits" in str(exc):
                what += " (the bits of the host must be 0)"
        self.wrong(key, f"{value!r} is not {what}")
        return None
