"""Machines: each has places of its own, shared by all of its commands and seen by nobody else."""

import asyncio
import sys
from pathlib import Path

import pytest

from netns_lab.lab import Lab
from netns_lab.namespace import last_line
from netns_lab.topology import Topology
from re6st_core.errors import RouterError

pytestmark = pytest.mark.root


def test_run_wireguard_is_the_machines_own(small: Topology) -> None:
    with Lab(small) as lab:
        lab.machines["a"].run(["touch", "/run/wireguard/wg-test.sock"])
        assert lab.machines["a"].run(["ls", "/run/wireguard"]) == "wg-test.sock\n"
        assert lab.machines["b"].run(["ls", "/run/wireguard"]) == ""
        assert not Path("/run/wireguard/wg-test.sock").exists()
        assert "/run/wireguard" not in Path("/proc/mounts").read_text()


def test_a_daemon_has_the_pid_that_was_started_and_its_log(small: Topology) -> None:
    with Lab(small) as lab:
        log = lab.logs / "a.log"
        process = lab.machines["a"].start(["sh", "-c", "echo I am $$"], log=log)
        assert process.wait(5) == 0
        assert last_line(log) == f"I am {process.pid}"


def test_a_failing_command_is_named_with_what_it_said(small: Topology, tmp_path: Path) -> None:
    async def call(lab: Lab, script: str) -> str:
        return await lab.machines["a"].call(
            [sys.executable, "-c", script], log=tmp_path / "log", timeout_s=10
        )

    with Lab(small) as lab:
        assert asyncio.run(call(lab, "print('fine')")) == "fine\n"
        with pytest.raises(RouterError, match="exit status 3: no such luck"):
            asyncio.run(call(lab, "import sys; print('no such luck', file=sys.stderr); sys.exit(3)"))
        with pytest.raises(RouterError, match=r"ls /absent: .*No such file"):
            lab.machines["a"].run(["ls", "/absent"])


def test_a_command_that_hangs_is_ended(small: Topology, tmp_path: Path) -> None:
    async def hang(lab: Lab) -> None:
        await lab.machines["a"].call(["tail", "-f", "/dev/null"], log=tmp_path / "log", timeout_s=0.2)

    with Lab(small) as lab, pytest.raises(RouterError, match="tail did not end"):
        asyncio.run(hang(lab))
