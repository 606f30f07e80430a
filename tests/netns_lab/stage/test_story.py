"""The story: steps and figures are told once each, and the verdict follows from them."""

import io
import itertools

from rich.console import Console

from netns_lab.stage.story import Figure, Story


def told() -> tuple[Story, io.StringIO]:
    """A story on a clock that advances by a second whenever it is read."""
    output = io.StringIO()
    seconds = itertools.count()
    return Story("test", Console(file=output, width=100), clock=lambda: float(next(seconds))), output


def test_a_story_without_failures_passes() -> None:
    story, output = told()
    with story.step("build") as step:
        step.progress("half")
    story.figure("rtt_ms", Figure(3.0, "ms", at_most=5))
    report = story.report()
    assert report["verdict"] == "pass"
    assert report["figures"] == {"rtt_ms": {"value": 3.0, "unit": "ms", "bound": "<= 5", "met": True}}
    assert "build" in output.getvalue()
    assert "\x1b" not in output.getvalue()  # plain lines: nobody is watching


def test_a_missed_bound_fails_and_a_missed_target_does_not() -> None:
    story, output = told()
    story.figure("memory", Figure(80, "MB", at_most=70, target=True))
    assert story.passed
    assert "MISSED" in output.getvalue()
    story.figure("answering", Figure(55, "", at_least=56))
    assert not story.passed
    assert story.failures == ("answering: 55 (bound >= 56)",)


def test_an_expectation_that_does_not_hold_is_a_failure() -> None:
    story, _ = told()
    assert story.expect(True, "never seen")
    assert not story.expect(False, "n1 is alone")
    assert story.failures == ("n1 is alone",)
    assert story.report()["verdict"] == "fail"


def test_a_step_that_fails_is_not_told_as_done() -> None:
    story, output = told()
    try:
        with story.step("build"):
            raise RuntimeError
    except RuntimeError:
        pass
    assert output.getvalue() == ""
