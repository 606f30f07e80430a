"""Every scenario has the form of all: a drawing, what is expected, a topology that loads, its name."""

import importlib
import re

import pytest

from netns_lab.scenarios import SCENARIOS
from netns_lab.topology import TOPOLOGIES, load_topology
from tests.helpers.source_tree import PACKAGES, is_scenario

NAMES = sorted(SCENARIOS)
FIXED = """cold_start relay_dies link_flaps partition registry_away half_killed revoked mac_rotation
    clock_wrong mtu_black_hole nat_matrix one_port upnp tcp_443_only lan_only address_change daemon_killed
    babeld_killed no_recursion planetlab_30 churn"""


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_tells_what_it_is_before_it_is_played(name: str) -> None:
    module = importlib.import_module(f"netns_lab.scenarios.{name}")
    assert module.SCENARIO is SCENARIOS[name]
    text = module.__doc__ or ""
    assert re.match(r".+[.]\n\n {4,}\S", text), "a sentence, then a drawing"
    assert "\nExpected: " in text
    assert re.fullmatch("[a-z0-9]+(_[a-z0-9]+)*", name)


@pytest.mark.parametrize("name", NAMES)
def test_the_topology_of_a_scenario_loads_and_has_a_registry(name: str) -> None:
    assert "registry" in load_topology(TOPOLOGIES / SCENARIOS[name].topology).nodes


def test_names_that_others_rely_on_stay() -> None:
    assert set(FIXED.split()) <= set(SCENARIOS)


def test_no_scenario_is_forgotten() -> None:
    folder = PACKAGES["netns_lab"] / "scenarios"
    assert {path.stem for path in folder.glob("*.py") if is_scenario(path)} == set(SCENARIOS)
