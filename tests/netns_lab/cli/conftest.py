"""A lab that is up, without programs, for the commands that look at one and steer it."""

import secrets
from collections.abc import Iterator

import pytest

from tests.helpers.lab_command import TWO, netns_lab


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The label of a lab of two machines, a and b, 20 ms from each other."""
    file = tmp_path_factory.mktemp("two") / "two.toml"
    file.write_text(TWO)
    label = f"two-{secrets.token_hex(3)}"
    up = netns_lab("up", file, "--bare", "--name", label)
    assert up.returncode == 0, up.stderr
    assert label in up.stdout
    yield label
    down = netns_lab("down", label)
    assert down.returncode == 0, down.stderr
