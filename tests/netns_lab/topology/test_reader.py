"""Topology files: the good one means what it says, a bad one is refused with all of its mistakes."""

import copy
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netns_lab.topology import TOPOLOGIES, load_topology, parse_topology
from netns_lab.topology.delays import SOURCES
from netns_lab.topology.links import LINK_KEYS
from netns_lab.topology.reader import TOP_KEYS
from netns_lab.topology.sites import DEFAULT_KEYS, NODE_KEYS, SITE_KEYS
from re6st_core.errors import ConfigError
from tests.helpers.topologies import FLAT, mistakes, topology

BROKEN = """\
speed = 3
internet = "203.0.113.0/33"
registry = "n9"
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
blocked = ["icpm"]
[delays]
rtt_ms = [
  [0, -5],
  [true, 7],
  [0]]
"""


def test_the_demo_topology_is_what_the_demo_needs() -> None:
    demo = load_topology(TOPOLOGIES / "demo.toml")
    assert demo.nodes == ("registry", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8")
    assert demo.site_of("n6").blocked == ("udp",)
    assert demo.site_of("n7") is demo.site_of("n8")
    assert demo.site_of("n7").nat == "masquerade"


@pytest.mark.parametrize("file", sorted(TOPOLOGIES.glob("*.toml")), ids=lambda file: str(file.stem))
def test_every_topology_that_comes_with_the_lab_is_without_mistakes(file: Path) -> None:
    read = load_topology(file)
    assert read.name == file.stem
    assert read.title != read.name


def test_one_topology_shows_every_key() -> None:
    text = (TOPOLOGIES / "everything.toml").read_text()
    shown = {match[1] for match in re.finditer(r"(?:^|\n|# |`)\[*([a-z0-9_]+)(?: =|\]|\.)", text)}
    keys = {*TOP_KEYS, *SITE_KEYS, *NODE_KEYS, *DEFAULT_KEYS, *LINK_KEYS, *SOURCES}
    assert keys - shown == set()


def test_thirty_nodes_stand_for_planetlab() -> None:
    read = load_topology(TOPOLOGIES / "planetlab_30.toml")
    nodes = [f"n{i + 1}" for i in range(30)]
    assert read.nodes == ("registry", *nodes)
    rtt = {(a, b): read.direct_rtt_ms(a, b) for a in nodes for b in nodes if a != b}
    assert statistics.mean(rtt.values()) == pytest.approx(145, abs=1)
    gain = sum(
        min(rtt[a, via] + rtt[via, b] for via in nodes if via not in (a, b)) <= 0.9 * direct
        for (a, b), direct in rtt.items()
    )
    assert gain / len(rtt) == pytest.approx(0.22, abs=0.01)


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


def test_all_mistakes_are_listed_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    assert mistakes(tmp_path, BROKEN) == [
        "1: speed: unknown key",
        "2: internet: '203.0.113.0/33' is not an IPv4 network such as 192.168.1.0/24",
        "3: registry: there is no node 'n9'",
        "5: site A B: name: 'A B' is not a name (a-z, 0-9 and -, beginning with a letter, at most 20 "
        "characters)",
        "6: site A B: address: 'elsewhere' is not an IPv4 address such as 203.0.113.20",
        "7: site A B: nat: 'magic' is not one of full_cone, address_restricted, port_restricted, symmetric, "
        "masquerade, carrier_grade",
        "8: site A B: nodes: several nodes need a nat, or to be offline",
        "8: site A B: nodes: there is another node 'n1' (site A B)",
        "12: site s2: nodes: several nodes need a nat, or to be offline",
        "13: site s2: lan: only with a nat, or offline",
        "14: site s2: blocked: 'icpm' is not one of udp, tcp, icmp, did you mean 'icmp'?",
        "16: delays: rtt_ms: 3 rows for 2 sites",
        "17: delays: row A B: rtt_ms: -5 is not a number from 0 to 10000 ms",
        "18: delays: row s2: rtt_ms: True is not a number from 0 to 10000 ms",
        "18: delays: row s2: rtt_ms: a site is 0 ms from itself, not 7",
        "19: delays: row 3: rtt_ms: 1 values for 2 sites",
    ]


def test_what_is_not_toml_or_not_there_is_one_mistake_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_topology(tmp_path / "absent.toml")
    bad = tmp_path / "bad.toml"
    for content, expected in (
        (b"a = 1\nb = \xff", "bad.toml:2: not valid TOML: not UTF-8 text"),
        (b"a = 1\n\nb = = 2\n", "bad.toml:3: not valid TOML: Invalid value"),
        (b"a = 1\na = 2\n", "bad.toml:2: not valid TOML: Cannot overwrite a value"),
        (b"a = [1,\n", "bad.toml: not valid TOML: Invalid value (at end of document)"),
        (b"a = " + b"[" * 100_000, "bad.toml: not valid TOML: maximum recursion depth"),
        (b"a = " + b"1" * 5000, "bad.toml: not valid TOML: Exceeds the limit (4300 digits)"),
    ):
        bad.write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            load_topology(bad)
        assert str(caught.value).startswith(f"{bad.parent}/{expected}"), expected


def test_the_registry_is_the_node_of_that_name_unless_stated() -> None:
    sites = '[[site]]\nname = "registry"\n[[site]]\nname = "n1"\n'
    assert topology(sites + FLAT).registry == "registry"
    assert topology('registry = "n1"\n' + sites + FLAT).registry == "n1"


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(TOP_KEYS), _JUNK)
def test_any_document_is_a_topology_or_a_config_error(key: str, junk: Any) -> None:
    document: dict[str, Any] = {"site": [{"name": "a"}, {"name": "b"}], "delays": {"all_ms": 1}}
    parse_topology(copy.deepcopy(document), name="x", source="x")
    document[key] = junk
    _parses_or_is_refused(document)


@given(st.sampled_from(SITE_KEYS), _JUNK, st.sampled_from(["nat", "offline", "count", "name"]))
def test_any_site_is_a_site_or_a_config_error(key: str, junk: Any, also: str) -> None:
    more = {"nat": "symmetric", "offline": True, "count": 2, "name": "a"}
    site = {"name": "a", also: more[also], key: junk}
    _parses_or_is_refused({"site": [site, {"name": "z"}], "delays": {"all_ms": 1}})


@given(
    st.sampled_from(
        [("node", NODE_KEYS), ("defaults", DEFAULT_KEYS), ("delays", SOURCES), ("link", LINK_KEYS)]
    ),
    st.data(),
    _JUNK,
)
def test_any_other_table_is_read_or_a_config_error(
    kind: tuple[str, tuple[str, ...]], data: st.DataObject, junk: Any
) -> None:
    name, keys = kind
    table = {data.draw(st.sampled_from(keys)): junk}
    document: dict[str, Any] = {"site": [{"name": "a"}, {"name": "b"}], "delays": {"all_ms": 1}}
    if name == "link":
        document["link"] = [{"from": "a", "to": "b", **table}]
    else:
        document[name] = {"a": table} if name == "node" else table
    _parses_or_is_refused(document)


PIECES = (
    "",
    '"',
    "#",
    "[",
    "]",
    "{",
    "}",
    "=",
    "\n",
    "nan",
    '"""',
    "'''",
    ".",
    ",",
    "[[site]]\n",
    "-1",
    "\\",
    "é",
)


@given(
    st.sampled_from(["everything", "demo"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.sampled_from(PIECES)), max_size=3),
)
def test_a_damaged_file_is_a_topology_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, name: str, damages: list[tuple[float, int, str]]
) -> None:
    text = (TOPOLOGIES / f"{name}.toml").read_text()
    for where, missing, piece in damages:
        at = round(where * len(text))
        text = text[:at] + piece + text[at + missing :]
    file = tmp_path_factory.getbasetemp() / "damaged.toml"
    file.write_text(text)
    try:
        load_topology(file)
    except ConfigError as exc:
        problems = exc.problems
    else:
        return
    assert all(problem.startswith(f"{file}:") for problem in problems)


def _parses_or_is_refused(document: dict[str, Any]) -> None:
    try:
        parse_topology(document, name="x", source="x")
    except ConfigError as exc:
        problems = exc.problems
    else:
        return
    assert problems
