"""What shells complete: every command and option, checked by the shells themselves."""

import shutil
import subprocess
from pathlib import Path

import pytest

from netns_lab.cli import main
from netns_lab.cli.completion import words


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_is_completed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    for word in ("run", "up", "down", "exec", "shell", "ping", "cut", "heal", "capture", "bare"):
        assert word in text


def complete(text: str, typed: list[str], tmp_path: Path) -> list[str]:
    """What bash offers for the last word typed."""
    (tmp_path / "completion").write_text(text)
    asking = f"""
        source {tmp_path}/completion
        netns-lab() {{ echo one two; }}
        COMP_WORDS=({" ".join(f"'{word}'" for word in typed)}); COMP_CWORD={len(typed) - 1}
        _netns_lab; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    bash = shutil.which("bash")
    assert bash
    done = subprocess.run([bash, "-euc", asking], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_bash_offers_commands_options_and_what_the_lab_knows(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = script("bash", capsys)
    assert complete(text, ["netns-lab", "sil"], tmp_path) == ["silence"]
    assert complete(text, ["netns-lab", "ping", "--und"], tmp_path) == ["--underlay"]
    assert complete(text, ["netns-lab", "down", "t"], tmp_path) == ["two"]
    assert complete(text, ["netns-lab", "no-such", ""], tmp_path) == []


def test_words_are_what_there_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("netns_lab.cleanup.RUN_DIR", tmp_path)
    assert "demo" in words("scenarios")
    assert "demo" in words("topologies")
    assert words("labs") == []
    assert words("machines") == []
