"""What a command's parser accepts and what its manual page documents."""

import argparse
import importlib
import re
from typing import Any
from unittest import mock

COMMANDS = {
    "re6stnet": ["re6stnet.8"],
    "re6st-conf": ["re6st-conf.1"],
    "re6st": ["re6st.1"],
    "re6st-registry": ["re6st-registry.1"],
    "netns-lab": ["netns-lab.1"],
}
"""Each command's manual pages."""


class _Found(Exception):  # noqa: N818 - it carries a parser, it is no error
    """The parser that a command was about to use."""


def parser_of(entry_point: str) -> argparse.ArgumentParser:
    """The parser that ``module:function`` builds, caught when it is about to read the arguments."""
    module, _, function = entry_point.partition(":")
    main: Any = getattr(importlib.import_module(module), function)

    def caught(self: argparse.ArgumentParser, *_arguments: Any, **_options: Any) -> None:
        raise _Found(self)

    with mock.patch.object(argparse.ArgumentParser, "parse_known_args", caught):
        try:
            main([])
        except _Found as found:
            parser: argparse.ArgumentParser = found.args[0]
            return parser
    raise AssertionError(f"{entry_point} reads its arguments without argparse")


def parser_options(parser: argparse.ArgumentParser) -> set[str]:
    """Options of a parser and of its sub-commands, and the sub-commands themselves."""
    options: set[str] = set()
    for action in parser._actions:  # argparse has no public list
        if action.help != argparse.SUPPRESS:
            options.update(action.option_strings)
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                options |= {name} | parser_options(command)
    return options - {"-h", "--help"}


def documented_options(page: str) -> set[str]:
    """Options (``.It Fl``) and sub-commands (``.It Cm``) that the page has an entry for, mdoc source."""
    options: set[str] = set()
    for line in re.findall(r"^\.It (.*)$", page, re.MULTILINE):
        options.update("-" + name.replace("\\-", "-") for name in re.findall(r"\bFl (\S+)", line))
        options.update(
            name for words in re.findall(r"\bCm ([a-z]+(?: [a-z]+)*)", line) for name in words.split()
        )
    return options - {"-h", "--help"}
