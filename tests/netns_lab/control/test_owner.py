"""The owner tells how far it is, and gives up when nobody listens; the rest is shown by ``netns-lab up``."""

import json
import os

import pytest

from netns_lab.control.owner import Teller, main


def test_what_goes_wrong_is_told_through_the_pipe() -> None:
    reading, writing = os.pipe()
    assert main(["--topology", "/absent.toml", "--label", "x", "--tell", str(writing)]) == 2
    os.close(writing)
    with os.fdopen(reading) as told:
        (line,) = told.readlines()
    (problem,) = json.loads(line)["error"]
    assert problem.startswith("/absent.toml: ")


def test_when_nobody_listens_progress_fails_and_errors_do_not() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    teller = Teller(writing)
    with pytest.raises(BrokenPipeError):
        teller.progress("half")
    teller.error(["no more"])
    os.close(writing)
