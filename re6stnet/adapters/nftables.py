"""The kernel's packet filter, by the ``nft`` program: one call, one transaction."""

import asyncio
from typing import Final

from re6st_core.errors import ConfigError, RouterError

_TIMEOUT_S: Final = 10.0


async def load(text: str) -> None:
    """Apply nft commands, all of them or none.  Raises ConfigError (nft missing, not root), RouterError."""
    await _run("-f", "-", text=text)


async def listing(*words: str) -> bytes:
    """What ``nft -j list`` tells, JSON.  Raises ConfigError (nft missing, not root), RouterError."""
    return await _run("-j", "list", *words)


async def _run(*arguments: str, text: str = "") -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(
            "nft", *arguments, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError as exc:
        raise ConfigError("program not found: nft: install the Debian package nftables") from exc
    except OSError as exc:
        raise RouterError(f"cannot start nft: {exc.strerror}") from exc
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            told, output = await process.communicate(text.encode())
    except TimeoutError as exc:
        raise RouterError(f"nft did not end in {_TIMEOUT_S:g} s") from exc
    finally:
        if process.returncode is None:  # it must not come into force after a newer one
            process.kill()
            await process.wait()
    if process.returncode:
        message = output.decode(errors="replace").strip().partition("\n")[0]
        if "not permitted" in message:
            raise ConfigError("cannot change nftables: this needs root (CAP_NET_ADMIN)")
        raise RouterError(f"nft: {message or f'status {process.returncode}'}")
    return told
