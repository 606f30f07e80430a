"""What a scenario is: a topology and a story played on it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from netns_lab.lab import Lab
from netns_lab.story import Story


@dataclass(frozen=True, slots=True)
class Scenario:
    """``play`` gets the lab, built, and tells the story; Re6stError ends it as failed."""

    title: str
    topology: str  # file name in the topologies folder
    play: Callable[[Lab, Story], Awaitable[None]]
