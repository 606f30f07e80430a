"""What a scenario is, what is expected of it, and how its outcome compares with that.  Pure.

A scenario that the node can't pass yet states so with :class:`NotYet`: which figures miss their bounds, what
they reached, and the issue that will mend it.  It is played and judged like any other; its verdict is "fail",
and that is the expected outcome as long as nothing else fails.
"""

import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from netns_lab.stage.stage import Stage
from netns_lab.stage.story import Story


@dataclass(frozen=True, slots=True)
class NotYet:
    """Figures that are known to miss their bounds."""

    reached: Mapping[str, str]  # figure -> what was measured, in words
    why: str
    issue: int  # that will mend it
    sometimes: bool = False  # the machine's speed or chance decide: a pass is no news


class Outcome(enum.Enum):
    """How a run compares with what was expected."""

    AS_EXPECTED = "as expected"
    WORSE = "worse than expected"
    BETTER = "better than expected"  # a NotYet can be removed


@dataclass(frozen=True, slots=True)
class Scenario:
    """``play`` gets a stage whose lab is built and tells the story; Re6stError ends it as failed."""

    title: str
    topology: str  # file name in the topologies folder
    play: Callable[[Stage], Awaitable[None]]
    not_yet: NotYet | None = None
    client_count: int = 3  # tunnels that each node opens
    within_s: float = 300.0  # a story that takes longer hangs, which is a failure

    @property
    def expected(self) -> str:
        """The verdict to be expected."""
        return "fail" if self.not_yet else "pass"

    def outcome(self, story: Story) -> Outcome:
        """Compare what was told with what was expected."""
        known = set(self.not_yet.reached) if self.not_yet else set()
        if story.broken or set(story.missed) - known:
            return Outcome.WORSE
        news = self.not_yet is not None and not self.not_yet.sometimes and story.passed
        return Outcome.BETTER if news else Outcome.AS_EXPECTED

    def now_met(self, story: Story) -> tuple[str, ...]:
        """Figures that were known to miss their bound and did not."""
        known = self.not_yet.reached if self.not_yet else {}
        return tuple(name for name in known if name not in story.missed)

    def expectation(self) -> dict[str, object]:
        """For the report."""
        if self.not_yet is None:
            return {"expected": "pass"}
        not_yet = {
            "why": self.not_yet.why,
            "issue": self.not_yet.issue,
            "reached": dict(self.not_yet.reached),
            "sometimes": self.not_yet.sometimes,
        }
        return {"expected": "fail", "not_yet": not_yet}
