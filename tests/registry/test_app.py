"""A registry's directory: what ``init`` made is what every command opens, from several processes at once."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from re6st_core.errors import ConfigError
from registry import app
from tests.helpers.registry import make


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    registry = make(tmp_path / "reg")
    registry.database.close()
    return tmp_path / "reg"


def test_what_was_made_is_what_is_opened(directory: Path) -> None:
    first, second = app.open_registry(directory), app.open_registry(directory)
    assert first.settings == second.settings == app.load_settings(directory)
    assert first.authority.certificate == second.authority.certificate
    first.database.close()
    second.database.close()


def test_a_directory_without_registry_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="run re6st-registry init first"):
        app.open_registry(tmp_path)


def test_the_ca_of_another_network_is_refused(directory: Path) -> None:
    settings = directory / app.CONFIG
    settings.write_text(settings.read_text().replace("2001:db8:42::/48", "2001:db8:43::/48"))
    with pytest.raises(ConfigError, match="is the CA of the network 2001:db8:42::/48"):
        app.open_registry(directory)


def certificates(directory: Path) -> list[tuple[int, str]]:
    connection = sqlite3.connect(directory / app.DATABASE)
    try:
        return connection.execute("SELECT serial, bits FROM certificate ORDER BY serial").fetchall()
    finally:
        connection.close()


def test_two_processes_never_give_overlapping_prefixes(directory: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from registry import app\n"
        "from tests.helpers.registry import *\n"
        "registry = app.open_registry(Path(sys.argv[1]))\n"
        "for _ in range(15):\n"
        "    request = EnrolRequest(csr=request_pem(generate_key()), token=new_token(registry))\n"
        "    registry.enrol(request, now())\n"
    )
    argv = [sys.executable, "-c", code, str(directory)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    processes = [subprocess.Popen(argv, env=environment) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    rows = certificates(directory)
    assert [serial for serial, _ in rows] == list(range(1, 31))
    assert len({bits for _, bits in rows}) == 30
