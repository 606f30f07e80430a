"""Files of which we know, before anything is spent, that they can be written.

A :class:`Place` takes the disk space it may need when it is made; what it gets later is written into that
space and then renamed: a full or read-only disk is found out beforehand, and no file is ever half written.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from re6st_core.errors import ConfigError

SIZE = 16384
"""Bytes: more than any of our files has."""


class Place:
    """Room for the new content of one file; a context manager, which gives unused room back."""

    def __init__(self, path: Path, *, mode: int = 0o644) -> None:
        """Raises ConfigError if the file could not be written."""
        self.path = path
        if path.is_dir():
            raise ConfigError(f"{path} is a directory")
        with _explained(path):
            self._descriptor, self._name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
            try:
                os.fchmod(self._descriptor, mode)
                _write(self._descriptor, bytes(SIZE))
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def write(self, data: bytes) -> None:
        """Replace the file; durable when this returns.  Raises ConfigError."""
        with _explained(self.path):
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            _write(self._descriptor, data)
            os.ftruncate(self._descriptor, len(data))
            os.fsync(self._descriptor)
            os.replace(self._name, self.path)
            self._name = ""
            directory = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def close(self) -> None:
        """Give the room back, if it was not used."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._name:
            os.unlink(self._name)
            self._name = ""


@contextmanager
def places(*paths: Path) -> Iterator[dict[Path, Place]]:
    """Room for several files.  Raises ConfigError naming each that could not be written."""
    with ExitStack() as stack:
        taken: dict[Path, Place] = {}
        problems: list[str] = []
        for path in paths:
            try:
                taken[path] = stack.enter_context(Place(path))
            except ConfigError as exc:
                problems += exc.problems
        if problems:
            raise ConfigError(*problems)
        yield taken


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ConfigError(f"{path} cannot be written: {exc.strerror}") from exc
