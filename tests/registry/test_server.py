"""``re6st-registry run`` as a process: what survives, how it stops, and what stops it from starting."""

import asyncio
import json
import signal
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from caucase_ca.authority import generate_key
from re6st_core.errors import RegistryError
from re6st_core.registry_wire import EnrolRequest
from registry import app, server
from registry.cli import main
from registry.client import RegistryClient, fetch_ca
from tests.helpers.registry import PORT, call, make, new_token, own_address, request_pem, running, token_of

MODULE = "registry.cli"


@pytest.fixture
def address() -> str:
    return own_address()


@pytest.fixture
def directory(tmp_path: Path, address: str) -> Path:
    registry = make(tmp_path / "reg", address=address)
    registry.database.close()
    return tmp_path / "reg"


def url(address: str) -> str:
    return f"http://{address}:{PORT}/"


def quick_token(directory: Path) -> str:
    """A token, made while the registry may be running in another process."""
    registry = app.open_registry(directory)
    text = new_token(registry)
    registry.database.close()
    return text


def certificates(directory: Path) -> list[tuple[int, str]]:
    connection = sqlite3.connect(directory / "registry.db")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return connection.execute("SELECT serial, bits FROM certificate ORDER BY serial").fetchall()
    finally:
        connection.close()


async def enrol(address: str, token: str, key: object) -> int:
    ca = await fetch_ca(url(address))
    async with RegistryClient(url(address), ca) as client:
        csr = request_pem(key)  # type: ignore[arg-type]  # a key of ours
        return (await client.enrol(EnrolRequest(csr=csr, token=token))).serial_number


async def test_it_serves_in_little_memory_and_stops_cleanly(directory: Path, address: str) -> None:
    with running(directory, address) as process:
        await enrol(address, quick_token(directory), generate_key())
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident = int(status.split("VmRSS:")[1].split()[0])
        assert resident <= 70 * 1024
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


async def killed_after(
    last: int, process: "subprocess.Popen[str]", asking: list[Coroutine[None, None, int]]
) -> list[int | BaseException]:
    """What becomes of the questions when the process is killed upon this answer."""
    tasks = [asyncio.ensure_future(one) for one in asking]
    for number, answer in enumerate(asyncio.as_completed(tasks), 1):
        try:
            await answer
        except RegistryError:
            continue
        if number == last:
            process.kill()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_whatever_is_killed_what_a_node_has_is_in_the_database(directory: Path, address: str) -> None:
    """Killed among many answers, after the first, the second and the third, on one database."""
    tokens = [quick_token(directory) for _ in range(6)]
    keys = [generate_key() for _ in tokens]
    received: dict[int, int] = {}
    for last in (1, 2, 3):
        with running(directory, address) as process:
            asking = [enrol(address, token, key) for token, key in zip(tokens, keys, strict=True)]
            results = await killed_after(last, process, asking)
            for number, result in enumerate(results):
                if isinstance(result, int):
                    assert received.setdefault(number, result) == result
                else:
                    assert isinstance(result, RegistryError)
        stored = {serial for serial, _ in certificates(directory)}
        assert set(received.values()) <= stored
    with running(directory, address):
        final = [await enrol(address, token, key) for token, key in zip(tokens, keys, strict=True)]
    assert received
    assert all(final[number] == serial for number, serial in received.items())
    rows = certificates(directory)
    assert sorted(final) == [serial for serial, _ in rows]
    assert len({bits for _, bits in rows}) == len(tokens)


async def test_killed_between_commit_and_answer(directory: Path, address: str) -> None:
    """The worst moment: the certificate is stored, the node has not got it; it asks again and gets it."""
    token, key = quick_token(directory), generate_key()
    crash = (
        "import os, sys; from registry.service import Registry; real = Registry.enrol\n"
        "Registry.enrol = lambda *a: (real(*a), os.kill(os.getpid(), 9))\n"
        "from registry.cli import main; sys.exit(main())"
    )
    with running(directory, address, crash) as process:
        with pytest.raises(RegistryError):
            await enrol(address, token, key)
        assert process.wait(10) == -signal.SIGKILL
    ((serial, _),) = certificates(directory)
    with running(directory, address):
        assert await enrol(address, token, key) == serial
        with pytest.raises(RegistryError, match="used already"):
            await enrol(address, token, generate_key())


async def test_the_operator_s_commands_work_while_it_runs(directory: Path, address: str) -> None:
    with running(directory, address):
        await enrol(address, token_of(directory), generate_key())
        done = call(MODULE, "node", "revoke", "0/16", "--dir", directory, "--json")
        assert json.loads(done.stdout) == {"revoked": "0/16", "version": 2}


@pytest.fixture
def run_here(
    directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """``re6st-registry run`` in this process, where it must fail: the lines of its complaint."""
    monkeypatch.setattr(server, "keep_small", lambda: None)  # which is for the whole process

    def run(*words: str) -> list[str]:
        assert main(["run", "--dir", str(directory), *words]) == 2
        return capsys.readouterr().err.splitlines()

    return run


def test_a_taken_port_is_one_clear_line(run_here: Callable[..., list[str]], address: str) -> None:
    for port in (PORT, PORT + 1):
        with socket.create_server((address, port)):
            (line,) = run_here("--listen", address)
        assert f"cannot listen on {address} port {port}: Address already in use" in line


@pytest.mark.parametrize("wrong", ["192.0.2.1", "2001:db8::1", "localhost"])
def test_an_address_that_is_not_ours_is_one_clear_line(
    run_here: Callable[..., list[str]], wrong: str
) -> None:
    (line,) = run_here("--listen", wrong)
    assert wrong in line


def test_a_bad_settings_file_tells_all_its_mistakes(
    run_here: Callable[..., list[str]], directory: Path
) -> None:
    (directory / "registry.toml").write_text(
        'network = "2001:db8:42::/48"\nhosts = ["a b"]\nport = 0\ncolour = 1\n'
    )
    assert len(run_here()) == 3


async def test_edited_parameters_are_published_at_the_next_start(directory: Path, address: str) -> None:
    text = (directory / "registry.toml").read_text()
    (directory / "registry.toml").write_text(text.replace("hello_s = 0.5", "hello_s = 2.5"))
    with running(directory, address):
        pass
    connection = sqlite3.connect(directory / "registry.db")
    version, parameters = connection.execute("SELECT version, parameters FROM publication").fetchone()
    connection.close()
    assert (version, json.loads(parameters)["hello_s"]) == (2, 2.5)
