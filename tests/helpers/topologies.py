"""Topology files for tests, written as text so that their lines count."""

import tomllib
from pathlib import Path

import pytest

from netns_lab.topology import Topology, load_topology, parse_topology
from re6st_core.errors import ConfigError

FLAT = "\n[delays]\nall_ms = 20\n"
"""The delays of tests that are about something else."""


def topology(text: str) -> Topology:
    """The topology that a text describes; it must be without mistakes."""
    return parse_topology(tomllib.loads(text), name="test", source="test.toml")


def mistakes(folder: Path, text: str) -> list[str]:
    """The mistakes of a text, as ``line: text``."""
    file = folder / "test.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_topology(file)
    assert all(problem.startswith(f"{file}:") for problem in caught.value.problems)
    return [problem.removeprefix(f"{file}:") for problem in caught.value.problems]
