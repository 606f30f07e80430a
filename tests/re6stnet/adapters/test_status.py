"""The local socket: one question, one answer, garbage refused."""

import asyncio
import stat
from pathlib import Path

import pytest

from re6st_core.errors import ConfigError, PeerError
from re6stnet.adapters.status import (
    DaemonStatus,
    IdentityStatus,
    MembershipStatus,
    Status,
    Why,
    ask_restart,
    ask_rotation,
    ask_status,
    ask_why,
    serve,
)

STATUS = Status(
    identity=IdentityStatus(cn="2/16", address="2001:db8::1", subnet="s", network="n", expires="2027"),
    membership=MembershipStatus(
        revoked=False, clock_wrong_by_s=0.0, clock_source="", babel_key=0, warnings=()
    ),
    daemon=DaemonStatus(
        pid=1, uptime_s=2.0, rss_bytes=3, version="0", registry="http://r/", registry_error="", relay=False,
        endpoints=(), parameters=1, babeld=True, babeld_pid=None, selection_bytes=0,
    ),
    tunnels=(),
    routes=(),
)  # fmt: skip


WHY = Why(
    destination="2001:db8:42:2::/64", prefix="2/16", address="2001:db8:42:2::1", routes=(), rtt_ms=None,
    answered_by="", proven=False, reason="Babel has no route",
)  # fmt: skip


async def why(about: str) -> Why:
    if about != "2/16":
        raise ConfigError(f"{about!r} is no destination")
    return WHY


def rotate(peer: str) -> str:
    if peer != "2/16":
        raise PeerError(f"no tunnel with {peer}")
    return "it is asked"


async def restart() -> str:
    raise ConfigError("the new version does not start: no module named re6stnet")


async def test_a_question_about_a_destination(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    server = await serve(path, lambda: STATUS, why, rotate, restart)
    assert await ask_why(path, "2/16") == WHY
    with pytest.raises(ConfigError, match="'x' is no destination"):
        await ask_why(path, "x")
    server.close()


async def test_status_is_told_to_root_only(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    server = await serve(path, lambda: STATUS, why, rotate, restart)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert await ask_status(path) == STATUS
    server.close()


@pytest.mark.parametrize("line", [b"\n", b"{}\n", b'{"ask":"why"}\n', b"\xff" * 5000 + b"\n", b""])
async def test_garbage_is_refused_and_the_server_lives(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "s.sock"
    server = await serve(path, lambda: STATUS, why, rotate, restart)
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line)
    writer.write_eof()
    answer = await reader.read()
    assert answer == b"" or b"error" in answer
    writer.close()
    assert await ask_status(path) == STATUS
    server.close()


async def test_no_daemon_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is it running"):
        await ask_status(tmp_path / "none.sock")


async def test_a_rotation_is_begun_or_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    server = await serve(path, lambda: STATUS, why, rotate, restart)
    assert await ask_rotation(path, "2/16") == "it is asked"
    with pytest.raises(ConfigError, match="no tunnel with 3/16"):
        await ask_rotation(path, "3/16")
    server.close()


async def test_a_restart_that_would_fail_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    server = await serve(path, lambda: STATUS, why, rotate, restart)
    with pytest.raises(ConfigError, match="no module named re6stnet"):
        await ask_restart(path)
    server.close()
