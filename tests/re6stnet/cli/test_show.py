"""``re6st status``: complete when a program reads it, harmless when a person does."""

import asyncio
import json
import os
import pty
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from re6stnet.adapters.status import (
    DaemonStatus,
    IdentityStatus,
    MembershipStatus,
    RouteStatus,
    Status,
    TunnelStatus,
    Why,
    serve,
)
from re6stnet.cli import show
from re6stnet.cli.show import main

TUNNEL = TunnelStatus(
    tunnel="0123456789abcdef" * 2, peer="21845/16", transport="wireguard", device="re6st01234567",
    state="connecting", role="client", rtt_ms=123.456, probe_rtt_ms=None, loss=0.125,
    since_s=93784.0, pid=7, destinations=12,
    endpoint="2001:db8:ffff:ffff:ffff:ffff:ffff:ffff,65535,udp6,FR",
)  # fmt: skip
ROUTE = RouteStatus(
    destination="2001:db8:42:5555::/64", peer="21845/16", via="fe80::1", device="re6st01234567",
    metric=1234, installed=True,
)  # fmt: skip
STATUS = Status(
    identity=IdentityStatus(
        cn="1/16", address="2001:db8:42:1::1", subnet="2001:db8:42:1::/64", network="2001:db8:42::/48",
        expires="2027-01-02T03:04:05+00:00",
    ),
    membership=MembershipStatus(
        revoked=False, clock_wrong_by_s=86400.0, clock_source="registry", babel_key=1,
        warnings=("the clock is wrong",),
    ),
    daemon=DaemonStatus(
        pid=1, uptime_s=61.0, rss_bytes=50_000_000, version="0", registry="http://registry.example/",
        registry_error="", relay=True, endpoints=("198.51.100.1,1194,udp",), parameters=1, babeld=True,
        babeld_pid=2, selection_bytes=0,
    ),
    tunnels=(TUNNEL, replace(TUNNEL, peer="2/16", rtt_ms=1.0, endpoint=""), replace(TUNNEL, rtt_ms=None)),
    routes=(ROUTE, replace(ROUTE, installed=False)),
)  # fmt: skip


WHY = Why(
    destination="2001:db8:42:2::/64", prefix="2/16", address="2001:db8:42:2::1",
    routes=(ROUTE, replace(ROUTE, installed=False, peer="")), rtt_ms=12.345, answered_by="2/16", proven=True,
    reason="",
)  # fmt: skip


async def why(about: str) -> Why:
    return {
        "2/16": WHY,
        "impostor": replace(WHY, answered_by="666/16\x1b[2J", proven=False),
        "nobody": replace(WHY, routes=(), rtt_ms=None, answered_by="", proven=False, reason="no answer"),
    }[about]


async def restarted() -> str:
    return "the daemon is being replaced"


@contextmanager
def daemon(run: Path, status: Status) -> Iterator[list[str]]:
    """A daemon's socket, served by a thread of its own; yields the arguments to reach it."""
    ready, end = threading.Event(), threading.Event()

    async def work() -> None:
        server = await serve(
            run / "re6stnet.sock", lambda: status, why, lambda peer: f"{peer} is asked", restarted
        )
        ready.set()
        await asyncio.to_thread(end.wait)
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(work(),))
    thread.start()
    try:
        assert ready.wait(5)
        yield ["--run", str(run), "status"]
    finally:
        end.set()
        thread.join()


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ("2/16", ["in use: through 21845/16", "spare: through a LAN", "RTT 12.3 ms", "2/16 answers: proven"]),
        ("impostor", ["WARNING: 666/16?[2J answers, by its certificate, not 2/16"]),
        ("nobody", ["nobody is proven to answer: no answer"]),
    ],
)
def test_the_way_to_a_destination(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], about: str, said: list[str]
) -> None:
    with daemon(tmp_path, STATUS) as argv:
        assert main([*argv[:2], "why", about]) == 0
        out = capsys.readouterr().out
        assert all(line in out for line in said), out
        assert main([*argv[:2], "why", about, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["prefix"] == "2/16"


def shown(run: Path, status: Status, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    with daemon(run, status) as argv:
        assert main([*argv, *options]) == 0
    return capsys.readouterr().out


def test_everything_is_there_one_row_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(tmp_path, STATUS, capsys).splitlines()
    assert lines[0].split()[:4] == ["node", "1/16", "address", "2001:db8:42:1::1"]
    assert lines.pop(1) == "WARNING: the clock is wrong"
    assert "registry http://registry.example/ answers, relay open" in lines[1]
    assert lines[2] == "reachable at 198.51.100.1,1194,udp"
    rows = [line.split() for line in lines if "wireguard" in line]
    # The fastest first, those not measured yet last.
    assert [row[0] for row in rows] == ["2/16", "21845/16", "21845/16"]
    assert rows[1] == [
        "21845/16", "wireguard", "connecting", "client", "123.5", "ms", "12%", "1d02h", "12", "re6st01234567",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff,65535,udp6,FR",
    ]  # fmt: skip
    assert rows[2][4] == "-"
    assert "1 destinations, 2 routes" in lines
    assert lines[-1].split() == ["2001:db8:42:5555::/64", "21845/16", "re6st01234567", "1234"]


def test_long_texts_are_not_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    endpoints = tuple(f"198.51.100.{n},1194,udp" for n in range(16))
    error = "no answer, " * 100
    status = replace(STATUS, daemon=replace(STATUS.daemon, endpoints=endpoints, registry_error=error))
    out = shown(tmp_path, status, capsys)
    assert ", ".join(endpoints) in out
    assert error in out
    assert "…" not in out


def test_json_is_the_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(tmp_path, STATUS, capsys, "--json")
    assert out.count("\n") == 1
    assert json.loads(out)["tunnels"][0]["endpoint"] == TUNNEL.endpoint


HOSTILE = (
    "[red]not red[/red]", "\x1b[2J\x1b]0;title\x07", "line\nbreak\rreturn", "\x9b31m", "\u202egnp.exe",
    "[/nothing]", ":smile:", "[link=http://x/]y[/link]", "\x00\x7f",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_peers_and_registry_say_is_only_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, options: tuple[str, ...]
) -> None:
    tunnel = replace(TUNNEL, endpoint=text, peer=text, state=text)
    who = replace(STATUS.identity, cn=text)
    membership = replace(STATUS.membership, warnings=(text,))
    told = replace(STATUS.daemon, registry_error=text, registry=text, endpoints=(text,))
    route = replace(ROUTE, peer=text)
    status = Status(identity=who, membership=membership, daemon=told, tunnels=(tunnel,), routes=(route,))
    out = shown(tmp_path, status, capsys, *options)
    bad = {c for c in out if not c.isprintable() and c != "\n"}
    assert bad <= ({"\x7f"} if options else set()), "a terminal obeys none of it"
    if text.isprintable() and not options:
        assert out.count(text) == 9
    if not options:
        assert len(out.splitlines()) == 11


def test_a_narrow_terminal_folds_and_loses_nothing(tmp_path: Path) -> None:
    with daemon(tmp_path, STATUS) as argv:
        master, slave = pty.openpty()
        command = [sys.executable, "-m", "re6stnet.cli.show", *argv]
        environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm"}
        process = subprocess.Popen(command, stdout=slave, env=environment)
        os.close(slave)
        out = b""
        while select.select([master], [], [], 10)[0]:
            try:
                out += os.read(master, 65536)
            except OSError:  # EIO: the other end is closed
                break
        os.close(master)
        assert process.wait(10) == 0
    assert "…" not in out.decode()


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    many = replace(STATUS, routes=(ROUTE,) * 5000)
    with daemon(tmp_path, many) as argv:
        command = [sys.executable, "-m", "re6stnet.cli.show", *argv]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait(10) == 0


def test_without_a_daemon_there_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--run", str(tmp_path), "status"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("re6st: no re6stnet answers")
    assert err.count("\n") == 1


def test_rotate_says_what_the_daemon_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with daemon(tmp_path, STATUS) as (option, run, _):
        assert main([option, run, "rotate", "2/16"]) == 0
    assert capsys.readouterr().out == "2/16 is asked\n"


def test_restart_ends_when_the_new_daemon_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    young = replace(STATUS, daemon=replace(STATUS.daemon, uptime_s=0.0))
    with daemon(tmp_path, young) as (option, run, _):
        assert main([option, run, "restart"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("the daemon is being replaced\nre6stnet 0 answers, with ")


def test_a_daemon_that_stays_the_old_one_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show, "RESTART_S", 0.3)
    with daemon(tmp_path, STATUS) as (option, run, _):
        assert main([option, run, "restart"]) == 1
    assert "does not answer" in capsys.readouterr().err
