"""All mistakes of one file, each with its place, as many as an operator can read."""

from pathlib import Path
from typing import NoReturn

from re6st_core.errors import ConfigError

SHOWN = 20


class Mistakes:
    """Collects instead of stopping at the first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shown: list[str] = []
        self._count = 0

    def add(self, what: str, *, line: int | None = None, column: int | None = None) -> None:
        """Note a mistake; lines and columns count from 1."""
        self._count += 1
        if self._count <= SHOWN:
            place = "" if line is None else f" line {line}" + ("" if column is None else f", column {column}")
            self._shown.append(f"{self._path}:{place and place + ':'} {what}")

    def stop(self) -> NoReturn:
        """Raise ConfigError with all of them."""
        more = self._count - len(self._shown)
        raise ConfigError(*self._shown, *([f"{self._path}: and {more} mistakes more"] if more else []))

    def check(self) -> None:
        """Raise ConfigError with all of them, if there are any."""
        if self._count:
            self.stop()
