"""IPv6 forwarding: switched on with the node, and put back as it was when the node stops.

Switching it on makes the kernel drop the default routes it learned from router advertisements (accept_ra 1
means "unless forwarding", Documentation/networking/ip-sysctl), so those interfaces go to accept_ra 2 first;
not those that come later: among them are tunnels, whose far end is not to become our router.
What was before is kept in a file: after a kill -9 the next daemon still knows it.
"""

import json
import os
from pathlib import Path
from typing import Final

from re6st_core.errors import ConfigError, RouterError

_ROOT: Final = Path("/proc/sys/net/ipv6/conf")
_FORWARDING: Final = "all/forwarding"


def enable_forwarding(memory: Path) -> None:
    """Switch forwarding on; ``memory`` holds the previous values until :func:`restore_forwarding`.

    Raises ConfigError if it cannot write the file or is not root, RouterError if the kernel has no IPv6.
    """
    before = _load(memory)
    wanted = {
        f"{path.parent.name}/accept_ra": "2"
        for path in sorted(_ROOT.glob("*/accept_ra"))
        if _read(path) == "1" and path.parent.name not in ("all", "default")
    } | {_FORWARDING: "1"}
    current = {name: _read(_ROOT / name) for name in wanted}
    # A value of an earlier daemon is the older one: it wins.
    _save(memory, {name: value for name, value in current.items() if value is not None} | before)
    for name, value in wanted.items():
        if current[name] != value:
            _write(_ROOT / name, value)


def restore_forwarding(memory: Path) -> None:
    """Put back what ``memory`` says and remove it; without it nothing is done."""
    # Forwarding first, while accept_ra still lets the kernel keep its default routes.
    for name, value in sorted(_load(memory).items(), key=lambda item: item[0] != _FORWARDING):
        if (_ROOT / name).exists():
            _write(_ROOT / name, value)
    memory.unlink(missing_ok=True)


def _load(memory: Path) -> dict[str, str]:
    try:
        content = json.loads(memory.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise ConfigError(f"cannot read {memory}: {exc}") from exc
    if not isinstance(content, dict):
        raise ConfigError(f"{memory} does not hold previous settings: remove it")
    return {str(name): str(value) for name, value in content.items()}


def _save(memory: Path, values: dict[str, str]) -> None:
    temporary = memory.with_name(memory.name + ".new")
    try:
        with temporary.open("w") as file:
            json.dump(values, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(memory)
    except OSError as exc:
        raise ConfigError(f"cannot write {memory}: {exc.strerror}") from exc


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError as exc:
        if path.parent.name == "all":
            raise RouterError("the kernel has no IPv6") from exc
        return None  # the interface has just gone


def _write(path: Path, value: str) -> None:
    try:
        path.write_text(value)
    except PermissionError as exc:
        raise ConfigError(f"cannot set {path}: this needs root") from exc
    except OSError as exc:
        if path.exists():
            raise RouterError(f"cannot set {path}: {exc.strerror}") from exc
