"""Replace the running daemon by the version that is installed now: same process, same children, same routes.

re6st restart --> the new version starts and accepts the options? --no--> refused, nothing has changed
                                 | yes
                  execv(2): files are closed, tunnels, babeld and routes live on, and are adopted
"""

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from typing import Final

from re6st_core.errors import ConfigError

log = logging.getLogger(__name__)

CHECK_S: Final = 15.0
TELL_FIRST_S: Final = 0.2
"""The one who asked gets an answer before."""


def command() -> list[str]:
    """How this process was started."""
    return [sys.executable, *sys.orig_argv[1:]]


async def prepare() -> str:
    """See to it that the new version would start, and begin to replace this one; what to tell.

    Raises ConfigError with what the new version says.
    """
    await _succeeds([*command(), "--check"])
    await _succeeds([sys.executable, "-c", "import re6stnet.app"])
    asyncio.get_running_loop().call_later(TELL_FIRST_S, replace)
    return "the daemon is being replaced; tunnels, babeld and routes stay"


def replace() -> None:
    """Become the new version.  Returns only if that fails, which is logged."""
    log.info("restarting in place")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    try:
        os.execv(sys.executable, command())  # noqa: S606 - our own interpreter and arguments
    except OSError as exc:
        log.error("cannot restart: %s", exc)


async def _succeeds(argv: Sequence[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(CHECK_S):
            _, said = await process.communicate()
    except TimeoutError as exc:
        raise ConfigError(f"the new version does not start within {CHECK_S:g} s") from exc
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise ConfigError(f"the new version does not start: {last or f'status {process.returncode}'}")
