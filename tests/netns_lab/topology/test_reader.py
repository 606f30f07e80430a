"""Topology files: the good one means what it says, a bad one is refused with all of its mistakes."""

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns_lab.topology import TOPOLOGIES, load_topology, parse_topology
from re6st_core.errors import ConfigError

BROKEN = """
speed = 3
internet = "203.0.113.0/33"
[[site]]
name = "A B"
address = "elsewhere"
nat = "magic"
nodes = ["n1", "n1"]
[[site]]
name = "s2"
address = "203.0.113.9"
nodes = ["n2", "n3"]
lan = "10.0.0.0/8"
blocked = ["icmp"]
[delays]
rtt_ms = [[0, -5], [true, 7], [0]]
"""


def test_the_demo_topology_is_what_the_demo_needs() -> None:
    demo = load_topology(TOPOLOGIES / "demo.toml")
    assert demo.nodes == ("registry", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8")
    assert demo.site_of("n6").blocked == ("udp",)
    assert demo.site_of("n7") is demo.site_of("n8")
    assert demo.site_of("n7").nat == "masquerade"


def test_demo_delays_are_symmetric_and_several_pairs_gain_a_third_by_a_relay() -> None:
    demo = load_topology(TOPOLOGIES / "demo.toml")
    public = ["n1", "n2", "n3", "n4", "n5"]
    gains = 0
    for i, a in enumerate(public):
        for b in public[i + 1 :]:
            direct = demo.direct_rtt_ms(a, b)
            assert direct == demo.direct_rtt_ms(b, a) <= 300
            best = min(
                demo.direct_rtt_ms(a, via) + demo.direct_rtt_ms(via, b) for via in public if via not in (a, b)
            )
            gains += direct >= 100 and best <= 0.7 * direct
    assert gains == 4


def test_all_mistakes_are_listed_at_once(tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text(BROKEN)
    with pytest.raises(ConfigError) as caught:
        load_topology(file)
    problems = caught.value.problems
    assert all(problem.startswith(f"{file}: ") for problem in problems)
    for part in (
        "speed: unknown key",
        "internet: '203.0.113.0/33' is not an IPv4 network",
        "site A B: name: 'A B' is not a name",
        "site A B: address: 'elsewhere'",
        "site A B: nat: 'magic' is not one of masquerade",
        "site A B: lan: None is not an IPv4 network",
        "node n1: given twice",
        "site s2: lan: only behind a nat",
        "site s2: nodes: several nodes need a nat",
        "site s2: blocked: 'icmp' is not one of udp",
        "delays: rtt_ms: 3 rows for 2 sites",
        "row A B: column 1: -5 is not a time",
        "row s2: column 0: True is not a time",
        "row s2: a site is 0 ms from itself, not 7",
        "row 2: 1 values for 2 sites",
    ):
        assert any(part in problem for problem in problems), part


def test_what_is_not_toml_or_not_there_is_one_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_topology(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_bytes(b"a = \xff")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_topology(tmp_path / "bad.toml")


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["title", "internet", "site", "delays"]), _JUNK)
def test_any_document_is_a_topology_or_a_config_error(key: str, junk: Any) -> None:
    document: dict[str, Any] = {
        "internet": "203.0.113.0/24",
        "site": [{"name": "a", "address": "203.0.113.1"}],
        "delays": {"rtt_ms": [[0]]},
    }
    parse_topology(copy.deepcopy(document), name="x", source="x")
    document[key] = junk
    _parses_or_is_refused(document)


@given(
    st.sampled_from(["name", "address", "nodes", "nat", "lan", "blocked"]),
    _JUNK,
)
def test_any_site_is_a_site_or_a_config_error(key: str, junk: Any) -> None:
    site = {"name": "a", "address": "203.0.113.1", key: junk}
    _parses_or_is_refused({"internet": "203.0.113.0/24", "site": [site], "delays": {"rtt_ms": [[0]]}})


def _parses_or_is_refused(document: dict[str, Any]) -> None:
    try:
        parse_topology(document, name="x", source="x")
    except ConfigError as exc:
        problems = exc.problems
    else:
        return
    assert problems
