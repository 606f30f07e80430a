"""``re6st-registry``: what it prints, and its exit status."""

import json
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from caucase_ca.authority import generate_key
from re6st_core.identity import fingerprint, load_certificate_untrusted
from re6st_core.registry_wire import EnrolRequest
from registry import app
from registry.cli import main
from tests.helpers.registry import now, request_pem

INIT = ("init", "--network", "2001:db8:42::/48", "--host", "203.0.113.1")
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run one command on the test's directory: status, output, errors."""

    def run(*words: str) -> tuple[int, str, str]:
        status = main([*words, "--dir", str(tmp_path / "reg")])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def as_json(result: tuple[int, str, str]) -> object:
    status, output, errors = result
    assert (status, errors) == (0, "")
    return json.loads(output)


def joined(directory: Path, token: str) -> str:
    """A node joins while nobody runs the server."""
    registry = app.open_registry(directory)
    held = registry.enrol(EnrolRequest(csr=request_pem(generate_key()), token=token), now())
    registry.database.close()
    return str(held.prefix)


def test_init_prints_what_the_operator_tells_others(call: Call, tmp_path: Path) -> None:
    status, output, errors = call(*INIT)
    assert (status, errors) == (0, "")
    ca = load_certificate_untrusted((tmp_path / "reg/ca.crt").read_bytes())
    lines = output.splitlines()
    assert f"fingerprint: {fingerprint(ca)}" in lines
    assert "url: http://203.0.113.1/" in lines
    again = as_json(call(*INIT, "--json"))
    assert again == {
        "fingerprint": fingerprint(ca),
        "url": "http://203.0.113.1/",
        "network": "2001:db8:42::/48",
    }


def test_secrets_are_for_their_owner_only(call: Call, tmp_path: Path) -> None:
    call(*INIT)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "reg").iterdir()}
    assert modes["ca.key"] == modes["registry.db"] == 0o600
    assert stat.S_IMODE((tmp_path / "reg").stat().st_mode) == 0o700


def test_init_again_keeps_everything_unless_it_contradicts(call: Call) -> None:
    call(*INIT, "--hello", "2")
    assert "exists already" in call(*INIT)[1]
    assert call(*INIT, "--hello", "2")[0] == 0
    status, output, errors = call(
        "init", "--network", "2001:db8:43::/48", "--host", "other.example", "--hello", "3", "--port", "81"
    )
    assert (status, output) == (2, "")
    assert len(errors.splitlines()) == 4
    assert "network = 2001:db8:42::/48, not 2001:db8:43::/48" in errors


@pytest.mark.parametrize(
    "lost", [["registry.toml"], ["registry.toml", "registry.db"], ["registry.toml", "ca.crt"]]
)
def test_an_interrupted_init_is_completed(call: Call, tmp_path: Path, lost: list[str]) -> None:
    first = as_json(call(*INIT, "--json"))
    for name in lost:
        (tmp_path / "reg" / name).unlink()
    again = as_json(call(*INIT, "--json"))
    assert isinstance(first, dict)
    assert isinstance(again, dict)
    assert (first["fingerprint"] == again["fingerprint"]) is ("ca.crt" not in lost)
    assert call("token", "add")[0] == 0


def test_all_mistakes_of_init_are_told_at_once(call: Call, tmp_path: Path) -> None:
    status, _, errors = call(
        *("init", "--network", "2001:db8:42::/48", "--host", "no host", "--port", "443"),
        *("--client-count", "99", "--hello", "0", "--anonymous-prefix-length", "81"),
    )
    assert status == 2
    for mistake in ("no host", "port = 443", "client_count", "hello_s", "anonymous_prefix_length"):
        assert mistake in errors
    assert not (tmp_path / "reg").exists()


def test_networks_are_checked(call: Call) -> None:
    for network in ("2001:db8:42::1/48", "192.0.2.0/24", "x"):
        assert call("init", "--network", network, "--host", "a")[0] == 2


def test_rsa_on_request(call: Call, tmp_path: Path) -> None:
    assert call(*INIT, "--rsa", "512")[0] == 2
    assert call(*INIT, "--rsa", "2048")[0] == 0
    ca = load_certificate_untrusted((tmp_path / "reg/ca.crt").read_bytes())
    assert getattr(ca.public_key(), "key_size", None) == 2048


def test_the_life_of_a_token(call: Call, tmp_path: Path) -> None:
    call(*INIT)
    made = as_json(call("token", "add", "--json", "--email", "a@example.org", "--prefix-length", "20"))
    assert isinstance(made, dict)
    token = made["token"]
    rows = as_json(call("token", "list", "--json"))
    assert isinstance(rows, list)
    row = rows[0]
    assert (row["token"], row["prefix_length"], row["email"], row["used_by"]) == (
        token,
        20,
        "a@example.org",
        None,
    )
    assert joined(tmp_path / "reg", token) == "0/20"
    status, output, _ = call("token", "list")
    assert status == 0
    assert re.fullmatch(rf"{token} +20 +a@example.org +[0-9]+ s +0/20", output.splitlines()[1].strip())
    assert call("token", "delete", token)[:2] == (0, "deleted\n")
    status, output, errors = call("token", "delete", token)
    assert (status, output, errors) == (1, "", "re6st-registry: there is no such token\n")


def test_nodes_are_listed_and_revoked(call: Call, tmp_path: Path) -> None:
    call(*INIT)
    for _ in range(2):
        made = as_json(call("token", "add", "--json"))
        assert isinstance(made, dict)
        joined(tmp_path / "reg", made["token"])
    assert as_json(call("node", "revoke", "1/16", "--json")) == {"revoked": "1/16", "version": 2}
    nodes = as_json(call("node", "list", "--json"))
    assert isinstance(nodes, list)
    assert [(node["prefix"], node["state"]) for node in nodes] == [("0/16", "member"), ("1/16", "revoked")]
    assert nodes[1]["address"] == "2001:db8:42:1::1"
    assert "2001:db8:42:1::/64  revoked" in call("node", "list")[1]
    assert call("node", "revoke", "9/16")[::2] == (1, "re6st-registry: there is no node 9/16\n")
    assert call("node", "revoke", "nonsense")[0] == 2


def test_the_key_of_babel_is_changed_once_at_a_time(call: Call) -> None:
    call(*INIT)
    told = as_json(call("key", "rotate", "--after", "60", "--json"))
    assert isinstance(told, dict)
    assert (told["epoch"], told["version"]) == (2, 2)
    ahead = datetime.fromisoformat(told["from"]) - now()
    assert timedelta(seconds=50) < ahead < timedelta(seconds=70)
    status, output, errors = call("key", "rotate")
    assert (status, output) == (1, "")
    assert "key 2 is not in use yet" in errors
    for impossible in ("4", "-1", "9999999"):
        assert call("key", "rotate", "--after", impossible)[0] == 2


@pytest.mark.parametrize("words", [("run",), ("token", "add"), ("token", "list"), ("node", "list")])
def test_without_init_one_clear_line(call: Call, words: tuple[str, ...]) -> None:
    status, output, errors = call(*words)
    assert (status, output) == (2, "")
    assert len(errors.splitlines()) == 1
    assert "run re6st-registry init first" in errors


@pytest.mark.parametrize("name", ["ca.crt", "ca.key", "registry.db", "registry.toml"])
@pytest.mark.parametrize("damage", ["lost", "garbage", "binary"])
def test_damaged_files_are_named(call: Call, tmp_path: Path, name: str, damage: str) -> None:
    call(*INIT)
    path = tmp_path / "reg" / name
    if damage == "lost":
        path.unlink()
    else:
        path.write_bytes(b"garbage " * 1000 if damage == "garbage" else b"\xff" * 8192)
    status, _, errors = call("token", "list")
    assert status == 2
    assert len(errors.splitlines()) == 1


def test_ages_have_one_unit() -> None:
    from registry.cli.main import _age

    ages = [timedelta(seconds=5), timedelta(minutes=3), timedelta(hours=30), timedelta(days=3)]
    assert [_age(now() - age)[:2].strip() for age in ages] == ["5", "3", "1", "3"]


def test_a_fleet_gets_its_tokens_at_once(call: Call) -> None:
    call(*INIT)
    made = as_json(call("token", "add", "--count", "3", "--email", "fleet@example.org", "--json"))
    assert isinstance(made, dict)
    texts = call("token", "add", "--count", "2")[1].split()
    listed = as_json(call("token", "list", "--json"))
    assert isinstance(listed, list)
    assert sorted(t["token"] for t in listed) == sorted([*made["tokens"], *texts])
    assert len(listed) == 5


def test_a_count_of_none_and_one_token_for_many_are_refused(call: Call) -> None:
    call(*INIT)
    assert call("token", "add", "--count", "0")[0] == 1
    assert call("token", "add", "--count", "2", "--token", "chosen token")[0] == 2
    assert as_json(call("token", "list", "--json")) == []


def test_only_run_loads_the_web_server() -> None:
    code = "import sys, registry.cli.main; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
