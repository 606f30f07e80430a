"""The plug-in's mesh, in a project of its own: nodes that have joined and run."""

import subprocess
import sys
from pathlib import Path

import pytest

from netns_lab.programs import own_environment

TOPOLOGY = """
title = "a registry and a node"
[[site]]
name = "registry"
[[site]]
name = "a"
[delays]
all_ms = 5
"""

TEST = """
import pytest

@pytest.mark.topology("pair.toml")
async def test_the_node_runs(mesh):
    assert list(mesh.addresses) == ["a"]
    assert mesh.daemon_pid("a")
"""


@pytest.mark.root
def test_a_registry_and_nodes_run_for_the_test(tmp_path: Path) -> None:
    (tmp_path / "pair.toml").write_text(TOPOLOGY)
    (tmp_path / "test_pair.py").write_text(TEST)
    options = ["-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=own_environment(),
        cwd=tmp_path,
    )
    assert "1 passed" in done.stdout, done.stdout
