"""Commands on a machine of a lab are the command itself: its status, output, terminal."""

import os
import pty
import subprocess
from pathlib import Path

import pytest

from netns_lab.programs import own_environment
from tests.helpers.lab_command import ARGV, netns_lab

pytestmark = pytest.mark.root


def test_the_exit_status_and_output_are_the_command_s(two: str) -> None:
    done = netns_lab("exec", f"{two}:a", "--", "sh", "-c", "ip -4 -o addr show net0; exit 7")
    assert done.returncode == 7
    assert "203.0.113.1/24" in done.stdout


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("{two}:c", "has no machine 'c'; there are: a, b, internet"),
        ("{two}:internat", "did you mean internet?"),
        ("nowhere:a", "no lab 'nowhere' is up; there are: "),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(two: str, target: str, said: str) -> None:
    done = netns_lab("exec", target.format(two=two), "true")
    assert done.returncode == 2
    assert said in done.stderr


def test_a_command_that_does_not_exist_is_127_as_in_a_shell(two: str) -> None:
    assert netns_lab("exec", f"{two}:a", "no-such-command").returncode == 127


def test_our_own_commands_are_found(two: str) -> None:
    assert "usage: re6st" in netns_lab("exec", f"{two}:a", "--", "re6st", "--help").stdout


def test_a_shell_has_the_terminal_and_names_the_machine(two: str) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*ARGV, "shell", f"{two}:b"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**own_environment(), "SHELL": "/bin/sh"},
        start_new_session=True,
    ) as shell:
        os.close(theirs)
        os.write(ours, b"test -t 0 && echo =$debian_chroot=; exit 3\n")
        said = b""
        while b"=b=" not in said:
            said += os.read(ours, 1024)
        assert shell.wait(10) == 3
    os.close(ours)


def test_a_capture_is_a_pcap_file_of_what_passed(two: str, tmp_path: Path) -> None:
    file = tmp_path / "echo.pcap"
    argv = [*ARGV, "capture", f"{two}:a", "-i", "net0", "-w", str(file), "-c", "2", "-f", "icmp"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, env=own_environment()) as capture:
        assert capture.stderr is not None
        while "listening on" not in capture.stderr.readline():
            assert capture.poll() is None
        assert netns_lab("exec", f"{two}:a", "--", "ping", "-c", "1", "203.0.113.2").returncode == 0
        assert capture.wait(10) == 0
    packets = file.read_bytes()
    assert packets[:4] == bytes.fromhex("d4c3b2a1")  # pcap, little-endian, microseconds
    assert packets.count(bytes([203, 0, 113, 1]) + bytes([203, 0, 113, 2])) == 1
    assert packets.count(bytes([203, 0, 113, 2]) + bytes([203, 0, 113, 1])) == 1
