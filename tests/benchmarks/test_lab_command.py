"""A command of the lab either reports or is a failure that says how it ended."""

import sys

import pytest

from benchmarks import lab_command
from benchmarks.lab_command import report_of
from re6st_core.errors import RouterError


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> None:
    """``netns-lab X`` is a program that prints X."""
    monkeypatch.setattr(
        lab_command, "own", lambda command: [sys.executable, "-c", "import sys; print(sys.argv[1])"]
    )


@pytest.mark.usefixtures("says")
def test_the_object_that_it_prints_is_the_report() -> None:
    assert report_of('{"verdict": "pass"}', within_s=20) == {"verdict": "pass"}


@pytest.mark.usefixtures("says")
@pytest.mark.parametrize(
    ("printed", "told"), [("[1]", "something else than a report"), ("", "printed no report")]
)
def test_anything_else_is_a_failure(printed: str, told: str) -> None:
    with pytest.raises(RouterError, match=told):
        report_of(printed, within_s=20)


def test_one_that_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lab_command, "own", lambda command: ["sleep"])
    with pytest.raises(RouterError, match=r"netns-lab 60 did not end within 0\.1 s"):
        report_of("60", within_s=0.1)
