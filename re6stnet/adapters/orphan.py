"""Processes that a daemon started but did not live to note down, found by the device that they carry.

Only in our own network namespace: in another one, a device of the same name is another node's.
"""

import asyncio
import os
import signal
from typing import Final

_GRACE_S: Final = 5.0
_MAX_ARGUMENTS: Final = 1 << 17


async def end_orphans(program: str, device: str) -> int:
    """End each ``program`` with the argument ``device``, by force after 5 s; returns how many there were."""
    found = 0
    namespace = os.readlink("/proc/thread-self/ns/net")
    # Every process of the host is looked at, maybe thousands: the first look must be a cheap one.
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        if not _matches(pid, namespace, program, device):
            continue
        try:
            pidfd = os.pidfd_open(int(pid))
        except ProcessLookupError:
            continue
        try:
            # Again: now the pid cannot be given to another process unnoticed.
            if _matches(pid, namespace, program, device):
                found += 1
                await _end(pidfd)
        finally:
            os.close(pidfd)
    return found


async def _end(pidfd: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        try:
            async with asyncio.timeout(_GRACE_S):
                await ended.wait()
        except TimeoutError:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            await ended.wait()
    except ProcessLookupError:
        pass  # it ended by itself
    finally:
        loop.remove_reader(pidfd)


def _matches(pid: str, namespace: str, program: str, device: str) -> bool:
    try:
        if os.readlink(f"/proc/{pid}/ns/net") != namespace:
            return False
        descriptor = os.open(f"/proc/{pid}/cmdline", os.O_RDONLY | os.O_CLOEXEC)
        try:
            argv = os.read(descriptor, _MAX_ARGUMENTS).split(b"\0")
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return os.path.basename(argv[0]) == program.encode() and device.encode() in argv
