"""``tools/setup`` tells what is missing, installs it as root, and changes nothing else."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.helpers.source_tree import ROOT

MISSING = "babeld", "iperf3"


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A directory of stand-ins for the programs that look at the system or change it."""
    add(tmp_path, "dpkg-query", f"/usr/bin/dpkg-query \"$@\" | grep -v -E '^({'|'.join(MISSING)})='")
    for program in ("apt-get", "systemctl"):
        add(tmp_path, program, f'echo "{program} $*" >>{tmp_path}/log')
    return tmp_path


def add(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def run_setup(commands: Path, user_id: int, *words: str) -> subprocess.CompletedProcess[str]:
    add(commands, "id", f"echo {user_id}")
    environment = os.environ | {"PATH": f"{commands}:{os.environ['PATH']}"}
    return subprocess.run(
        [ROOT / "tools" / "setup", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_without_root_one_line_says_what_to_type(commands: Path) -> None:
    done = run_setup(commands, 1000)
    assert done.returncode == 2
    assert (done.stdout, done.stderr) == (
        "",
        "setup: packages are missing; as root: "
        "apt-get update && apt-get install --no-install-recommends babeld iperf3\n",
    )
    assert not (commands / "log").exists()


def test_root_installs_exactly_what_is_missing(commands: Path) -> None:
    done = run_setup(commands, 0)
    update, install = [
        line for line in (commands / "log").read_text().splitlines() if line.startswith("apt-get")
    ]
    assert update.endswith(" update")
    assert install.endswith(" install --no-install-recommends babeld iperf3")
    assert "setup: apt-get install babeld iperf3" in done.stdout
    assert (done.returncode, done.stderr) == (2, "setup: still missing after installation: babeld iperf3\n")


def test_the_programs_for_comparison_are_asked_for_only_by_bench(commands: Path) -> None:
    add(commands, "dpkg-query", "exit 1")
    assert "yggdrasil" not in run_setup(commands, 1000).stderr
    assert run_setup(commands, 1000, "bench").stderr.endswith(" tinc nebula yggdrasil\n")


def test_an_unknown_word_is_refused(commands: Path) -> None:
    done = run_setup(commands, 0, "benhc")
    assert (done.returncode, done.stderr) == (2, "setup: usage: tools/setup [bench]\n")
    assert not (commands / "log").exists()


def test_a_failed_installation_is_told(commands: Path) -> None:
    add(commands, "apt-get", 'case "$*" in *" install "*) exit 100 ;; esac')
    done = run_setup(commands, 0)
    assert done.returncode == 2
    assert done.stderr == "setup: apt-get install failed with status 100 (see above)\n"
