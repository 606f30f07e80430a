"""Some scenarios, as a user runs them; `netns-lab run all` plays the rest too.

Chosen because they are short, replace tests of single nodes, and end the same way on a busy machine;
what they expect is written in their modules.
"""

import json
from pathlib import Path

import pytest

from netns_lab import cleanup
from netns_lab.namespace import NETNS_DIR
from tests.helpers.lab_command import netns_lab

QUICK = ("mac_rotation", "one_port")


@pytest.mark.root
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", QUICK)
def test_a_scenario_ends_as_expected_and_leaves_only_its_report(name: str, tmp_path: Path) -> None:
    done = netns_lab("run", name, "--json", "--report", tmp_path / "report", timeout_s=300)
    report = json.loads(done.stdout)
    assert report["outcome"] == "as expected", done.stderr
    assert done.returncode == (0 if report["verdict"] == "pass" else 1)
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == ["report.json", "timeline.svg"]
    assert "files and logs of the lab" not in done.stderr
    assert not list(NETNS_DIR.glob(f"nl-{report['lab']}-*"))
    assert report["lab"] not in {record.lab_id for record in cleanup.records()}
