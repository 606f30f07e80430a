"""The daemon's command line: mistakes are listed, nothing is started."""

from pathlib import Path

import pytest

from re6stnet.cli.daemon import main


def test_mistakes_of_file_and_arguments_come_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "re6stnet.conf"
    path.write_text("frobnicate yes\nregistry http://r.example/\n")
    assert main([f"@{path}", "--port", "x", "--what"]) == 2
    err = capsys.readouterr().err
    for word in ("frobnicate", "--port 'x'", "--what", "--ca is missing"):
        assert word in err


def test_an_option_without_its_value_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port"]) == 2
    assert "--port" in capsys.readouterr().err


def test_check_stops_before_anything_happens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).touch()
    argv = [f"--{n}={tmp_path / n}" for n in ("ca", "cert", "key")]
    assert main(["--check", "--registry", "http://r.example/", *argv]) == 0
    assert "valid" in capsys.readouterr().out
