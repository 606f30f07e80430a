"""What there is to run, and who is told so."""

import pytest

from netns_lab.cli import main


def test_list_names_the_scenarios(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert capsys.readouterr().out.startswith("demo ")
