"""Waiting for a file to appear, by inotify(7)."""

import asyncio
import ctypes
import errno
import os
from pathlib import Path
from typing import Final

from re6st_core.errors import RouterError

_IN_CREATE: Final = 0x100
_IN_MOVED_TO: Final = 0x80
MORE_INSTANCES: Final = "sysctl fs.inotify.max_user_instances must be larger: each wireguard-go takes one"
_libc: Final = ctypes.CDLL(None, use_errno=True)


async def wait_for_file(path: Path) -> None:
    """Return once ``path`` exists; its directory must exist.  The caller bounds the time."""
    fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        number = ctypes.get_errno()
        hint = f": {MORE_INSTANCES}" if number == errno.EMFILE else ""
        raise RouterError(f"inotify: {os.strerror(number)}{hint}")
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()

    def read() -> None:
        os.read(fd, 65536)
        changed.set()

    try:
        if _libc.inotify_add_watch(fd, os.fsencode(path.parent), _IN_CREATE | _IN_MOVED_TO) < 0:
            raise RouterError(f"cannot watch {path.parent}: {os.strerror(ctypes.get_errno())}")
        loop.add_reader(fd, read)
        while not path.exists():
            await changed.wait()
            changed.clear()
    finally:
        loop.remove_reader(fd)
        os.close(fd)
