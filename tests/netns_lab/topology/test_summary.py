"""What a topology means, in words and as JSON has it."""

import json

from netns_lab.topology import TOPOLOGIES, load_topology
from netns_lab.topology.summary import boxes, line, paths, programs, summary
from tests.helpers.topologies import FLAT, topology

EVERYTHING = load_topology(TOPOLOGIES / "everything.toml")


def test_the_summary_is_json_and_leaves_out_what_is_not_there() -> None:
    meaning = json.loads(json.dumps(summary(EVERYTHING)))
    sites = {site["name"]: site for site in meaning["sites"]}
    assert sites["home"]["machines"] == ["home-box", "h1", "h2"]
    assert sites["home"]["lan6"] == "2001:db8:1:5::/64"
    assert "nat" not in sites["paris"]
    assert "address" not in sites["tokyo"]
    assert sites["office"]["outbound"] == ["tcp/443", "udp/53"]
    nodes = {node["name"]: node for node in meaning["nodes"]}
    assert nodes["phone"]["clock_offset_s"] == 86400
    assert nodes["phone"]["address"] == "192.168.6.10"
    assert meaning["paths"]["count"] == 8 * 7  # the barn has none
    assert meaning["paths"]["jitter_ms"] == {"min": 1.0, "median": 1.0, "max": 10.0}
    assert (meaning["paths"]["with_a_rate"], meaning["paths"]["reordering"]) == (1, 1)


def test_nothing_may_leave_is_not_the_same_as_everything_may() -> None:
    read = topology('[[site]]\nname = "a"\noutbound = []\n[[site]]\nname = "b"\n' + FLAT)
    first, second = json.loads(json.dumps(summary(read)))["sites"]
    assert first["outbound"] == []
    assert "outbound" not in second
    assert boxes(read.site("a")) == ["out only answers"]


def test_phrases_say_what_is_particular() -> None:
    assert boxes(EVERYTHING.site("home"))[:2] == ["NAT port_restricted with hairpin", "UPnP"]
    assert boxes(EVERYTHING.site("barn"))[0] == "offline"
    assert boxes(EVERYTHING.site("paris")) == []
    assert line(EVERYTHING.site("tokyo")) == ["50 Mbit/s", "MTU 1400", "jitter 4 ms", "loss 0.1 %"]
    assert programs(EVERYTHING.node("phone")) == [
        "only openvpn",
        "client count 1",
        "clock +86400 s",
        "--verbose 3",
    ]


def test_a_lab_without_internet_has_no_paths() -> None:
    read = topology('[[site]]\nname = "lan"\noffline = true\nnodes = ["p", "q"]')
    assert paths(read) == []
    meaning = json.loads(json.dumps(summary(read)))
    assert meaning["paths"]["delay_ms"] is None
    assert meaning["paths"]["mtu"] == 1500
