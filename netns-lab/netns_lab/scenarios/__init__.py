"""The stories a lab can tell, by name."""

from netns_lab.scenarios import (
    babeld_killed,
    churn,
    cold_start,
    daemon_killed,
    demo,
    half_killed,
    link_flaps,
    mac_rotation,
    no_recursion,
    partition,
    planetlab_30,
    registry_away,
    relay_dies,
    revoked,
)
from netns_lab.scenarios.scenario import Scenario

SCENARIOS: dict[str, Scenario] = {
    "demo": demo.SCENARIO,
    "cold_start": cold_start.SCENARIO,
    "relay_dies": relay_dies.SCENARIO,
    "link_flaps": link_flaps.SCENARIO,
    "partition": partition.SCENARIO,
    "registry_away": registry_away.SCENARIO,
    "half_killed": half_killed.SCENARIO,
    "revoked": revoked.SCENARIO,
    "mac_rotation": mac_rotation.SCENARIO,
    "daemon_killed": daemon_killed.SCENARIO,
    "babeld_killed": babeld_killed.SCENARIO,
    "no_recursion": no_recursion.SCENARIO,
    "planetlab_30": planetlab_30.SCENARIO,
    "churn": churn.SCENARIO,
}

__all__ = ["SCENARIOS", "Scenario"]
