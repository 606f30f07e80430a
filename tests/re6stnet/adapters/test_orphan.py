"""Only a program that carries the very device, in our own namespace, is ended."""

import asyncio
import os
import signal

import pytest

from re6stnet.adapters import orphan
from re6stnet.adapters.orphan import end_orphans
from tests.helpers.namespace_tests import device_name, namespaces

pytestmark = pytest.mark.root


async def test_program_with_the_device_is_ended_and_its_like_elsewhere_is_not() -> None:
    device = device_name()
    with namespaces(1) as (elsewhere,):
        argv = ["tail", "-f", "/dev/null", "--", device]
        ours = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.DEVNULL)
        with elsewhere.entered():
            theirs = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.DEVNULL)
        assert await end_orphans("tail", device[:-1]) == 0
        assert await end_orphans("openvpn", device) == 0
        assert await end_orphans("tail", device) == 1
        assert not os.path.exists(f"/proc/{ours.pid}/fd/0"), "it is over when the call returns"
        assert await ours.wait() == -signal.SIGTERM
        assert theirs.returncode is None
        with elsewhere.entered():
            assert await end_orphans("tail", device) == 1
        await theirs.wait()


async def test_one_that_does_not_want_to_end_is_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphan, "_GRACE_S", 0.05)
    device = device_name()
    script = "trap '' TERM; echo ready; while :; do read -r _ <&0; done"
    stubborn = await asyncio.create_subprocess_exec(
        "bash", "-c", script, device, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert stubborn.stdout is not None
    await stubborn.stdout.readline()
    assert await end_orphans("bash", device) == 1
    assert await stubborn.wait() == -signal.SIGKILL
