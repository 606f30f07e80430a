"""An outcome is what was told against what was expected; a known miss excuses that figure only."""

import io

import pytest
from rich.console import Console

from netns_lab.scenarios.scenario import NotYet, Outcome, Scenario
from netns_lab.stage.stage import Stage
from netns_lab.stage.story import Figure, Story

NOT_YET = NotYet({"blackout": "4.1 s", "lost": "12"}, "hellos are slow", 4)

SOMETIMES = NotYet({"blackout": "4.1 s"}, "slow machines are slow", 4, sometimes=True)


async def play(stage: Stage) -> None:
    """Never played here."""


def told(**figures: float) -> Story:
    """A story whose figures have the bound 1."""
    story = Story("test", Console(file=io.StringIO()))
    for name, value in figures.items():
        story.figure(name, Figure(value, "", at_most=1))
    return story


@pytest.mark.parametrize(
    ("not_yet", "figures", "outcome"),
    [
        (None, {"blackout": 1}, Outcome.AS_EXPECTED),
        (None, {"blackout": 2}, Outcome.WORSE),
        (NOT_YET, {"blackout": 2, "lost": 2}, Outcome.AS_EXPECTED),
        (NOT_YET, {"blackout": 2, "lost": 0}, Outcome.AS_EXPECTED),
        (NOT_YET, {"blackout": 2, "other": 2}, Outcome.WORSE),
        (NOT_YET, {"blackout": 1, "lost": 0}, Outcome.BETTER),
        (SOMETIMES, {"blackout": 1}, Outcome.AS_EXPECTED),
        (SOMETIMES, {"blackout": 2}, Outcome.AS_EXPECTED),
        (SOMETIMES, {"lost": 2}, Outcome.WORSE),
    ],
)
def test_outcomes(not_yet: NotYet | None, figures: dict[str, float], outcome: Outcome) -> None:
    assert Scenario("t", "demo.toml", play, not_yet=not_yet).outcome(told(**figures)) is outcome


def test_what_does_not_work_at_all_is_never_excused() -> None:
    story = told(blackout=2)
    story.expect(False, "b is not reached")
    assert Scenario("t", "demo.toml", play, not_yet=NOT_YET).outcome(story) is Outcome.WORSE


def test_a_figure_that_meets_its_bound_after_all_is_named() -> None:
    scenario = Scenario("t", "demo.toml", play, not_yet=NOT_YET)
    assert scenario.now_met(told(blackout=2, lost=0)) == ("lost",)
    assert Scenario("t", "demo.toml", play).now_met(told(blackout=0)) == ()


def test_the_expectation_is_told_with_its_reason() -> None:
    assert Scenario("t", "demo.toml", play).expectation() == {"expected": "pass"}
    expectation = Scenario("t", "demo.toml", play, not_yet=NOT_YET).expectation()
    assert expectation["expected"] == "fail"
    assert expectation["not_yet"] == {
        "why": "hellos are slow",
        "issue": 4,
        "reached": {"blackout": "4.1 s", "lost": "12"},
        "sometimes": False,
    }
