"""The mesh's helper: JSON that is none, servers that answer or not, and daemons that end."""

import asyncio
import os
import signal
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from netns_lab import mesh as mesh_module
from netns_lab.cleanup import process_start
from netns_lab.lab import Lab
from netns_lab.mesh import Mesh, http_get, json_object
from netns_lab.topology import Topology
from re6st_core.errors import RouterError


def test_only_a_json_object_is_one() -> None:
    assert json_object('{"token": "x"}') == {"token": "x"}
    for text in ("", "Traceback", "[1]", '"x"'):
        with pytest.raises(RouterError):
            json_object(text)


@pytest.mark.root
def test_work_ends_at_once_when_the_switch_dies(small: Topology) -> None:
    async def work(lab: Lab) -> None:
        with Mesh(lab, registry="a", client_count=1) as mesh:
            assert mesh.nodes == ("b", "c", "h1", "h2")
            assert await mesh.unless_one_dies(asyncio.sleep(0, "done")) == "done"
            assert lab.internet.pid
            os.kill(lab.internet.pid, signal.SIGKILL)
            await mesh.unless_one_dies(asyncio.sleep(60))

    with Lab(small, internet="switch") as lab, pytest.raises(RouterError, match="the switch ended"):
        asyncio.run(work(lab))


@pytest.mark.root
@pytest.mark.parametrize(("status", "expected"), [("200 OK", b"hello"), ("404 Not Found", None)])
def test_only_an_answer_with_status_200_is_one(small: Topology, status: str, expected: bytes | None) -> None:
    async def ask(lab: Lab) -> bytes | None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = await reader.readuntil(b"\r\n\r\n")
            assert request.startswith(b"GET /ca HTTP/1.0\r\n")
            writer.write(f"HTTP/1.0 {status}\r\nX: y\r\n\r\nhello".encode())
            await writer.drain()
            writer.close()

        with lab.machines["a"].socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.bind(("203.0.113.1", 80))
            async with await asyncio.start_server(answer, sock=listener):
                return await http_get(lab.machines["b"], "203.0.113.1", "/ca")

    with Lab(small) as lab:
        assert asyncio.run(http_get(lab.machines["b"], "203.0.113.1", "/ca")) is None
        assert asyncio.run(ask(lab)) == expected


@pytest.mark.root
async def test_a_daemon_is_started_as_topology_and_scenario_say(small: Topology) -> None:
    nodes = tuple(
        replace(node, client_count=7, options=("--country", "FR"), clock_offset_s=-86400.0)
        if node.name == "b"
        else node
        for node in small.node_list
    )
    with Lab(replace(small, node_list=nodes)) as lab, Mesh(lab, registry="a", client_count=3) as mesh:
        mesh.options["c"] = ["--ip", "203.0.113.3"]
        wrong_clock, told = mesh.daemon_command("b"), mesh.daemon_command("c")
    assert wrong_clock[:4] == ["faketime", "--exclude-monotonic", "-f", "-86400.0s"]
    assert wrong_clock[-4:] == ["--client-count", "7", "--country", "FR"]
    assert "faketime" not in told
    assert told[-4:] == ["--client-count", "3", "--ip", "203.0.113.3"]


@pytest.mark.root
async def test_what_keeps_a_node_from_joining_is_the_one_error(
    small: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def registry(mesh: Mesh) -> str:
        return "fingerprint"

    async def join(mesh: Mesh, node: str) -> None:
        raise RouterError(f"{node} has no token")

    monkeypatch.setattr(Mesh, "start_registry", registry)
    monkeypatch.setattr(Mesh, "join", join)
    told: list[str] = []
    with (
        Lab(small) as lab,
        Mesh(lab, registry="a") as mesh,
        pytest.raises(RouterError, match="b has no token"),
    ):
        await mesh.form(told.append)
    assert len(told) == 1, "only the registry is there"


@pytest.mark.root
async def test_a_daemon_that_does_not_end_is_killed_and_named(
    small: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh_module, "_STOP_WITHIN_S", 0.1)
    with Lab(small) as lab, Mesh(lab, registry="a") as mesh:
        monkeypatch.setattr(mesh, "daemon_command", lambda node: ["tail", "-f", "/dev/null"])
        mesh.start("b")
        pid = mesh.daemon_pid("b")
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await asyncio.to_thread(os.waitid, os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        with pytest.raises(RouterError, match=r"of b did not end within 0\.1 s of SIGTERM, killed: .*b\.log"):
            await mesh.stop("b")
        assert not mesh.running("b")
        assert process_start(pid) is None


@pytest.mark.root
async def test_a_registry_that_ends_at_its_start_is_named(
    small: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh_module, "own", lambda name: ["sh", "-c", "echo no network >&2; exit 3"])
    ended = pytest.raises(RouterError, match="the registry ended: no network")
    with Lab(small) as lab, Mesh(lab, registry="a") as mesh, ended:
        await mesh.run_registry()


@pytest.mark.root
def test_the_url_is_that_of_the_registry_host(small: Topology, tmp_path: Path) -> None:
    with Lab(small) as lab:
        mesh = Mesh(lab, registry="a", client_count=1)
    assert mesh.url == "http://203.0.113.1/"
