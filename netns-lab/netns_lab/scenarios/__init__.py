"""The stories a lab can tell, by name."""

from netns_lab.scenarios import demo
from netns_lab.scenarios.scenario import Scenario

SCENARIOS: dict[str, Scenario] = {"demo": demo.SCENARIO}

__all__ = ["SCENARIOS", "Scenario"]
