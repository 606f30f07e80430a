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


async def cut_off(mesh: Mesh, node: str, revoked: str, within_s: float) -> None:
    """Wait until a node has no tunnel to another, nor tries."""
    cn = mesh.cns[revoked]
    await until(mesh, node, lambda s: all(t["peer"] != cn for t in s["tunnels"]), within_s=within_s)


async def test_a_revocation_reaches_a_node_that_the_registry_cannot_tell(mesh: Mesh) -> None:
    for node in mesh.nodes:
        mesh.start(node)
    await everybody_answers(mesh)
    for node in mesh.nodes:
        await until(mesh, node, lambda s: sum(t["state"] == "active" for t in s["tunnels"]) == 2)
    rules = "add table inet cut; add chain inet cut in { type filter hook input priority -10; };"
    mesh.machine("c").run(["nft", f"{rules} add rule inet cut in ip saddr 203.0.113.1 drop"])
    await mesh.revoke("b")
    await asyncio.gather(*(cut_off(mesh, node, "b", within_s=10) for node in ("a", "c")))
    assert f"source={mesh.cns['a']}" in mesh.log("c").read_text(), "c has it from a"


@pytest.mark.parametrize("server", ["a", "b"])
async def test_a_revoked_node_loses_its_openvpn_tunnels_too(mesh: Mesh, server: str) -> None:
    for node in mesh.nodes:
        mesh.options[node] = ["--transport", "openvpn"]
    client = {"a": "b", "b": "a"}[server]
    mesh.start(server)
    await until(mesh, server, lambda s: s["daemon"]["babeld"])
    mesh.start(client)
    await until(mesh, "a", lambda s: [t["state"] for t in s["tunnels"]] == ["active"])
    await mesh.revoke("b")
    await cut_off(mesh, "a", "b", within_s=10)
    await asyncio.sleep(20)  # the story: it tries again meanwhile
    await cut_off(mesh, "a", "b", within_s=1)
    assert "is revoked" in mesh.log("b").read_text()


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
