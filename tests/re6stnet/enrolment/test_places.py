"""Room is taken beforehand; a file is old or new."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from re6st_core.errors import ConfigError
from re6stnet.enrolment.places import SIZE, Place, places


@contextmanager
def limited(size: int) -> Iterator[None]:
    """No file may become larger."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_what_is_written_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with Place(path, mode=0o600) as place:
        assert path.read_text() == "old"
        place.write(b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_unused_room_is_given_back(tmp_path: Path) -> None:
    with places(tmp_path / "one", tmp_path / "two") as taken:
        assert sorted(path.stat().st_size for path in tmp_path.iterdir()) == [SIZE, SIZE]
        assert set(taken) == {tmp_path / "one", tmp_path / "two"}
    assert list(tmp_path.iterdir()) == []


def test_every_file_without_room_is_told(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(ConfigError) as caught, places(tmp_path / "one", tmp_path / "none" / "two"):
        pass
    assert len(caught.value.problems) == 2
    assert "is a directory" in caught.value.problems[0]


def test_a_full_disk_is_found_out_before(tmp_path: Path) -> None:
    with limited(SIZE - 1), pytest.raises(ConfigError, match="cannot be written: File too large"):
        Place(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_after_is_no_problem(tmp_path: Path) -> None:
    with Place(tmp_path / "file") as place, limited(0):
        pass
    with Place(tmp_path / "file") as place:
        place.write(b"x" * SIZE)
    assert (tmp_path / "file").stat().st_size == SIZE
