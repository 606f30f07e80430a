"""Only a program that carries the very device, in our own namespace, is ended."""

import asyncio
import signal

import pytest

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
        assert end_orphans("tail", device[:-1]) == 0
        assert end_orphans("openvpn", device) == 0
        assert end_orphans("tail", device) == 1
        assert await ours.wait() == -signal.SIGTERM
        assert theirs.returncode is None
        with elsewhere.entered():
            assert end_orphans("tail", device) == 1
        await theirs.wait()
