"""Topology files for tests, written as text so that their lines count."""

import tomllib
from pathlib import Path

import pytest

from netns_lab.topology import Topology, load_topology, parse_topology
from re6st_core.errors import ConfigError

FLAT = "\n[delays]\nall_ms = 20\n"
"""The delays of tests that are about something else."""

SMALL: dict[str, object] = {
    "title": "small",
    "internet": "203.0.113.0/24",
    "site": [
        {"name": "a", "address": "203.0.113.1"},
        {"name": "b", "address": "203.0.113.2"},
        {"name": "c", "address": "203.0.113.3", "blocked": ["udp"]},
        {
            "name": "home",
            "address": "203.0.113.4",
            "nat": "masquerade",
            "lan": "192.168.1.0/24",
            "nodes": ["h1", "h2"],
        },
    ],
    "delays": {"rtt_ms": [[0, 20, 30, 10], [20, 0, 10, 10], [30, 10, 0, 10], [10, 10, 10, 0]]},
}
"""What the fixture ``small`` is read from."""


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
