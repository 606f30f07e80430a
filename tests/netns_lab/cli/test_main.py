"""The command as a whole: every group of sub-commands is there, and problems are lines, not traces."""

import signal
import subprocess

import pytest

from netns_lab.cli import main
from netns_lab.programs import own_environment
from tests.helpers.lab_command import ARGV


def test_without_a_sub_command_the_usage_is_shown_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "usage: netns-lab" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "list", "clean"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"usage: netns-lab {command}" in capsys.readouterr().out


def test_a_reader_that_has_seen_enough_is_no_error_and_no_verdict() -> None:
    with subprocess.Popen(
        [*ARGV, "completion", "bash"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=own_environment()
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()
        assert command.stderr.read() == b""
        assert command.wait(30) == 128 + signal.SIGPIPE
