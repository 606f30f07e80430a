"""Who belongs and who answers, with real daemons in a lab: a liar is cut off, an honest node is proven.

registry   a   b   c      20 ms from each other, all public
"""

import asyncio
import json
import shutil
import sys
from pathlib import Path

import pytest

from netns_lab.mesh import NETWORK, Mesh
from netns_lab.programs import own
from re6st_core.prefix import Network, Prefix
from tests.helpers.lab_status import everybody_answers, until

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

TAKEN = str(Network.parse(NETWORK).subnet(Prefix(16, 0xBEEF)))
LIAR = """#!{python}
import os, sys
told = ["redistribute ip {taken} eq 64 allow" if a == "redistribute deny" else a for a in sys.argv[1:]]
os.execv("{babeld}", ["babeld", *told])
"""


def let_it_lie(mesh: Mesh, node: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its next start on, the babeld of this node announces a prefix that is not its own."""
    babeld = directory / "babeld"
    babeld.write_text(LIAR.format(python=sys.executable, taken=TAKEN, babeld=shutil.which("babeld")))
    babeld.chmod(0o755)
    mesh.machine(node).run(["ip", "-6", "route", "add", TAKEN, "dev", "lo", "proto", "static"])
    honest = mesh.daemon_command

    def command(name: str) -> list[str]:
        argv = honest(name)
        return ["sh", "-c", f'PATH={directory}:$PATH exec "$@"', "sh", *argv] if name == node else argv

    monkeypatch.setattr(mesh, "daemon_command", command)


async def test_who_takes_a_prefix_is_cut_off_and_reported_and_nobody_else_is(
    mesh: Mesh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_it_lie(mesh, "b", tmp_path, monkeypatch)
    for node in mesh.nodes:
        mesh.start(node)
    for node in ("a", "c"):
        await until(mesh, node, lambda s: bool(s["membership"]["warnings"]))
        (warning,) = (await mesh.status(node))["membership"]["warnings"]
        assert warning.startswith(f"{mesh.cns['b']} was cut off: it originates 48879/16")
    await asyncio.sleep(3)  # the story: it would be back by now if it were let in
    for node, other in (("a", "c"), ("c", "a")):
        tunnels = (await mesh.status(node))["tunnels"]
        assert [t["peer"] for t in tunnels if t["state"] == "active"] == [mesh.cns[other]]
        log = mesh.log(node).read_text()
        assert "a peer originates a prefix that is not its own" in log


async def test_who_answers_for_a_prefix_is_proven(mesh: Mesh) -> None:
    for node in mesh.nodes:
        mesh.start(node)
    await everybody_answers(mesh)
    run = mesh.machine("a").directory / "run"
    for about in (mesh.cns["b"], str(mesh.addresses["b"])):
        argv = [*own("re6st"), "--run", str(run), "why", about, "--json"]
        why = json.loads(await mesh.machine("a").call(argv, log=mesh.log("a")))
        assert (why["answered_by"], why["proven"], why["reason"]) == (mesh.cns["b"], True, "")
        assert 15 < why["rtt_ms"] < 100
        assert why["routes"][0]["installed"]
