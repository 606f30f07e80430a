"""The demo, as a user runs it: a mesh of eight nodes forms and beats the direct paths."""

import json
import subprocess
import sys

import pytest

from netns_lab.namespace import NETNS_DIR
from netns_lab.programs import own_environment

COMMAND = [sys.executable, "-c", "import sys; from netns_lab.cli import main; sys.exit(main())"]


@pytest.mark.root
@pytest.mark.timeout(240)
def test_the_demo_passes_and_leaves_nothing() -> None:
    before = set(NETNS_DIR.glob("nl-*"))
    with subprocess.Popen(
        [*COMMAND, "run", "demo", "--exit", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=own_environment(),
    ) as process:
        output, told = process.communicate()
    report = json.loads(output)
    assert report["verdict"] == "pass", told
    assert process.returncode == 0
    figures = report["figures"]
    assert figures["pairs_answering"]["value"] == 56
    assert figures["wireguard_tunnel_ends"]["value"] >= 2
    assert figures["openvpn_tunnel_ends"]["value"] >= 2
    assert figures["pairs_faster_over_a_relay"]["value"] >= 1
    assert set(NETNS_DIR.glob("nl-*")) <= before
