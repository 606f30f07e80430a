"""The stories a lab can tell, by name."""

from netns_lab.scenarios import demo, relay_dies
from netns_lab.scenarios.scenario import Scenario

SCENARIOS: dict[str, Scenario] = {
    "demo": demo.SCENARIO,
    "relay_dies": relay_dies.SCENARIO,
}

__all__ = ["SCENARIOS", "Scenario"]
