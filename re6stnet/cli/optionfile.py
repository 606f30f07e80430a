"""re6st's option files (``re6st-protocol.md`` §9.1): an option a line, no dashes, arguments shell-quoted.

    registry http://registry.example/
    ip 203.0.113.7
    v 3                  a short option
    O--verb              a short option that takes a value with dashes: -O--verb
    @other.conf          includes another file

Blank lines and lines starting with ``#`` are skipped; there are no trailing comments.  re6st glues an unknown
word to its first letter (``regstry`` becomes ``-r egstry``); here that is a mistake and is reported as one.
"""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from re6st_core.errors import ConfigError

MAX_DEPTH = 8


class Parser(argparse.ArgumentParser):
    """Collects every mistake instead of leaving at the first; ``@FILE`` anywhere includes an option file."""

    def error(self, message: str) -> NoReturn:
        """What argparse itself finds wrong."""
        raise ConfigError(message)

    def read(self, argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """Parse; return the options and the mistakes so far.  Values are texts: settings validate them.

        Raises ConfigError only for what makes going on pointless.
        """
        problems: list[str] = []
        words: list[str] = []
        for word in argv:
            words += self._file(Path(word[1:]), problems, 0) if word.startswith("@") else [word]
        options, unknown = self.parse_known_args(words)
        problems += [f"unknown option or argument {word!r}" for word in unknown]
        return options, problems

    def _file(self, path: Path, problems: list[str], depth: int) -> list[str]:
        if depth >= MAX_DEPTH:
            problems.append(f"{path}: option files include each other more than {MAX_DEPTH} deep")
            return []
        try:
            lines = path.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as exc:
            problems.append(f"option file {path} cannot be read: {exc}")
            return []
        words: list[str] = []
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            if text.startswith("@"):
                words += self._file(path.parent / text[1:], problems, depth + 1)
                continue
            try:
                words += self._line(shlex.split(text))
            except ValueError as exc:
                problems.append(f"{path}:{number}: {exc}")
        return words

    def _line(self, words: list[str]) -> list[str]:
        name, *arguments = words
        known = self._option_string_actions
        if "--" + name in known:
            return ["--" + name, *arguments]
        if "-" + name[:1] in known and name[1:2] in ("", "-"):
            return ["-" + name, *arguments]
        raise ValueError(f"unknown option {name!r}")
