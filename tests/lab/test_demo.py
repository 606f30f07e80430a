"""The demo, as a user runs it: a mesh of eight nodes forms and beats the direct paths."""

import json
from pathlib import Path

import pytest

from netns_lab.namespace import NETNS_DIR
from tests.helpers.lab_command import netns_lab


@pytest.mark.root
@pytest.mark.timeout(240)
def test_the_demo_passes_and_leaves_nothing(tmp_path: Path) -> None:
    done = netns_lab("run", "demo", "--exit", "--json", "--report", tmp_path / "report", timeout_s=240)
    report = json.loads(done.stdout)
    assert report["verdict"] == "pass", done.stderr
    assert done.returncode == 0
    figures = report["figures"]
    assert figures["pairs_answering"]["value"] == 56
    assert figures["wireguard_tunnel_ends"]["value"] >= 2
    assert figures["openvpn_tunnel_ends"]["value"] >= 2
    assert figures["pairs_faster_over_a_relay"]["value"] >= 1
    assert not list(NETNS_DIR.glob(f"nl-{report['lab']}-*"))
