"""The ``netns-lab`` command as a process of its own, and a lab of two machines for it."""

import subprocess
import sys

from netns_lab.programs import own_environment

ARGV = [sys.executable, "-P", "-m", "netns_lab"]

TWO = """
title = "two machines"
[[site]]
name = "a"
address = "203.0.113.1"
[[site]]
name = "b"
address = "203.0.113.2"
[delays]
all_ms = 20
"""


def netns_lab(*arguments: object, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*ARGV, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        env=own_environment(),
    )
