"""A user without root has labs too: in a sandbox that ends with its last command and leaves nothing."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netns_lab import rootless
from netns_lab.programs import own_environment
from re6st_core.errors import ConfigError
from tests.helpers.lab_command import TWO

NOBODY = 65534
DEBIAN_S = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"
"""PATH of a user there: without the places of nft and others."""
# A /dev/net/tun that users may open, as Debian has it; this machine's may be for root alone.
AS_NOBODY = """
set -e
mount -t tmpfs -o mode=755 dev "$1"
mknod -m 666 "$1/tun" c 10 200
mount --bind "$1/tun" /dev/net/tun
shift
exec setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"
"""


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Path]:
    """The directory that a login gives a user, XDG_RUNTIME_DIR."""
    directory = Path("/tmp") / f"netns-lab-test-{os.getpid()}"
    directory.mkdir(mode=0o711)
    (directory / "dev").mkdir(mode=0o755)
    (directory / "user").mkdir(mode=0o700)
    os.chown(directory / "user", NOBODY, NOBODY)
    yield directory
    as_nobody(directory, "down", "--all")  # what a failed test has left
    subprocess.run(["rm", "-r", directory], check=True)


def as_nobody(runtime: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``netns-lab`` run by nobody."""
    command = [sys.executable, "-P", "-m", "netns_lab", *arguments]
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", AS_NOBODY, "sh", str(runtime / "dev"), *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=own_environment()
        | {"PATH": DEBIAN_S, "XDG_RUNTIME_DIR": str(runtime / "user"), "HOME": "/nonexistent"},
    )


def processes_of_nobody() -> set[int]:
    """All processes of that user."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if entry.stat().st_uid == NOBODY:
                    found.add(int(entry.name))
            except FileNotFoundError:
                continue
    return found


def wait_for_the_end(of_all_but: set[int]) -> None:
    """The sandbox ends by itself, soon after its last command; the test's time limit bounds the wait."""
    for pid in processes_of_nobody() - of_all_but:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        assert select.select([handle], [], [], 20)[0]
        os.close(handle)


@pytest.mark.root
def test_a_user_brings_a_lab_up_works_in_it_and_takes_it_down(runtime: Path) -> None:
    before = processes_of_nobody()
    up = as_nobody(runtime, "up", "demo", "--bare")
    assert up.returncode == 0, up.stderr
    there = as_nobody(runtime, "exec", "n1", "--", "ping", "-c", "1", "-W", "5", "203.0.113.12")
    assert there.returncode == 0, there.stdout + there.stderr
    assert "up, process" in as_nobody(runtime, "list").stdout
    assert as_nobody(runtime, "exec", "n1", "--", "sh", "-c", "exit 7").returncode == 7
    down = as_nobody(runtime, "down")
    assert down.returncode == 0, down.stderr
    assert "no lab is up" in as_nobody(runtime, "down").stderr
    assert not list((runtime / "user" / "netns-lab" / "labs").glob("*.json"))
    wait_for_the_end(before)


@pytest.mark.root
def test_when_the_owner_is_killed_the_sandbox_ends_with_it(runtime: Path) -> None:
    before = processes_of_nobody()
    assert as_nobody(runtime, "up", "demo", "--bare").returncode == 0
    assert processes_of_nobody() - before
    as_nobody(runtime, "exec", "n1", "--", "pkill", "-KILL", "-f", "netns_lab.control.owner")
    listed = as_nobody(runtime, "list").stdout
    assert "up, process" not in listed
    assert as_nobody(runtime, "clean").returncode == 0
    assert not list((runtime / "user" / "netns-lab" / "labs").glob("*.json"))
    wait_for_the_end(before)


@pytest.mark.root
def test_a_sandbox_that_was_killed_is_made_anew(runtime: Path) -> None:
    before = processes_of_nobody()
    assert as_nobody(runtime, "up", two_machines(runtime), "--bare", "--name", "two").returncode == 0
    first, _ = (runtime / "user" / "netns-lab" / "sandbox").read_text().split()
    os.kill(int(first), signal.SIGKILL)
    wait_for_the_end(before)
    again = as_nobody(runtime, "list")
    assert again.returncode == 0, again.stderr
    assert "two, dead" in again.stdout
    assert "(two)" in as_nobody(runtime, "clean").stdout
    assert not list((runtime / "user" / "netns-lab" / "labs").glob("*.json"))
    wait_for_the_end(before)


def two_machines(runtime: Path) -> str:
    """A topology file that the user can read."""
    file = runtime / "two.toml"
    file.write_text(TWO)
    file.chmod(0o644)
    return str(file)


def test_all_that_forbids_it_is_said_at_once(tmp_path: Path) -> None:
    for name, value in (
        ("kernel/unprivileged_userns_clone", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),
        ("user/max_user_namespaces", "0"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    with pytest.raises(ConfigError) as caught:
        rootless.require(tmp_path, tmp_path / "tun")
    said = "\n".join(caught.value.problems)
    for mend in (
        "userns_clone=1",
        "restrict_unprivileged_userns=0",
        "namespaces=10000",
        "modprobe tun",
        "sudo",
    ):
        assert mend in said


def test_a_machine_that_allows_it_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "max_user_namespaces").write_text("96365\n")
    (tmp_path / "tun").touch()
    rootless.require(tmp_path, tmp_path / "tun")


def test_a_directory_that_others_can_write_to_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(rootless, "require", lambda: None)
    (tmp_path / "netns-lab").mkdir()
    (tmp_path / "netns-lab").chmod(0o777)
    with pytest.raises(ConfigError, match="others may write"):
        rootless.enter(["list"])


def test_without_a_sandbox_there_is_no_lock_to_hand_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NETNS_LAB_SANDBOX_LOCK", raising=False)
    assert rootless.held_lock() == ()
    monkeypatch.setenv("NETNS_LAB_SANDBOX_LOCK", "5")
    assert rootless.held_lock() == (5,)
