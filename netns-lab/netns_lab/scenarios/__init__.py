"""The stories a lab can tell, by name."""

from netns_lab.scenarios import (
    address_change,
    babeld_killed,
    churn,
    clock_wrong,
    cold_start,
    daemon_killed,
    demo,
    half_killed,
    lan_only,
    link_flaps,
    mac_rotation,
    mtu_black_hole,
    nat_matrix,
    no_recursion,
    one_port,
    partition,
    planetlab_30,
    registry_away,
    relay_dies,
    revoked,
    tcp_443_only,
    upnp,
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
    "clock_wrong": clock_wrong.SCENARIO,
    "mtu_black_hole": mtu_black_hole.SCENARIO,
    "nat_matrix": nat_matrix.SCENARIO,
    "one_port": one_port.SCENARIO,
    "upnp": upnp.SCENARIO,
    "tcp_443_only": tcp_443_only.SCENARIO,
    "lan_only": lan_only.SCENARIO,
    "address_change": address_change.SCENARIO,
    "daemon_killed": daemon_killed.SCENARIO,
    "babeld_killed": babeld_killed.SCENARIO,
    "no_recursion": no_recursion.SCENARIO,
    "planetlab_30": planetlab_30.SCENARIO,
    "churn": churn.SCENARIO,
}

__all__ = ["SCENARIOS", "Scenario"]
