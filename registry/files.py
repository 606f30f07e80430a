"""Files that are either as they were or complete, whenever the machine dies."""

import os
import tempfile
from pathlib import Path

from re6st_core.errors import ConfigError


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace a file in one step, durable when this returns.  Raises ConfigError, nothing changed."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
        try:
            with os.fdopen(descriptor, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)  # the new name must be as durable as the content
        finally:
            os.close(directory)
    except OSError as exc:
        raise ConfigError(f"{path} cannot be written: {exc.strerror}") from exc


def read_file(path: Path) -> bytes:
    """Content of a file.  Raises ConfigError."""
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}") from exc
