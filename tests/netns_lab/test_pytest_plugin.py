"""The plug-in in a project of its own: labs for tests, skipped without privileges, kept when a test fails."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from netns_lab.namespace import NETNS_DIR
from netns_lab.programs import own_environment
from tests.helpers.lab_command import TWO

TESTS = """
import pytest

@pytest.mark.topology("two.toml")
def test_machines_reach_each_other(lab):
    lab.machines["a"].run(["ping", "-c", "1", "-W", "5", "203.0.113.2"])

@pytest.mark.topology("two.toml")
def test_that_fails(lab):
    assert lab.port("b") == 7

@pytest.mark.topology("absent.toml")
def test_without_file(lab):
    pass

def test_without_marker(lab):
    pass
"""


def run_pytest(directory: Path, *, prefix: tuple[str, ...] = ()) -> str:
    """pytest in a project with two.toml and the tests above; what it printed."""
    (directory / "two.toml").write_text(TWO)
    (directory / "test_them.py").write_text(TESTS)
    options = ["-p", "no:cacheprovider", "-rA", "--strict-markers", "--rootdir", str(directory)]
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "pytest", *options, str(directory)],
        capture_output=True,
        text=True,
        check=False,
        env=own_environment(),
        cwd=directory,
    )
    return done.stdout


@pytest.mark.root
def test_each_test_has_a_lab_of_its_own_and_a_failed_one_leaves_its_logs(tmp_path: Path) -> None:
    said = run_pytest(tmp_path)
    assert "PASSED test_them.py::test_machines_reach_each_other" in said
    assert "FAILED test_them.py::test_that_fails" in said
    kept = Path(said.partition("files and logs of the lab: ")[2].split()[0])
    assert (kept / "logs").is_dir()
    subprocess.run(["rm", "-r", str(kept)], check=True)
    assert "absent.toml: No such file" in said
    assert "needs @pytest.mark.topology(FILE)" in said
    lab_id = kept.name.removeprefix("netns-lab-")
    assert not list(NETNS_DIR.glob(f"nl-{lab_id}-*"))


@pytest.mark.root
def test_without_privileges_it_is_skipped_and_says_why() -> None:
    as_nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
    with tempfile.TemporaryDirectory() as directory:  # pytest's own are for root alone
        Path(directory).chmod(0o755)
        said = run_pytest(Path(directory), prefix=as_nobody)
    assert "SKIPPED" in said
    assert "need root" in said
