"""The commands for netem, word for word, and whether the real tools understand them."""

import re
import secrets
import subprocess
from collections.abc import Iterator

import pytest

from netns_lab.internet import netem_plan as plan
from netns_lab.internet.link import Line, Link

THREE = plan.Wanted(
    ports=[0, 2],
    links=[[Link()] * 3, [Link()] * 3, [Link(delay_ms=10, jitter_ms=2, loss=0.01, mtu=1400), Link(), Link()]],
    lines=[Line(10, 20), Line(), Line()],
    silent={2},
    cut={(0, 2), (2, 0)},
)


def test_cables_of_ports_that_lead_somewhere() -> None:
    assert list(plan.cables([("a", "net0"), None])) == [
        "link add wire type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        "link set wire up",
        "link add p0 type veth peer name net0 gso_max_segs 1 netns a",
        "link set p0 master wire up",
        "link set p0 type bridge_slave learning off flood off",
    ]
    assert list(plan.addresses([0, 10])) == [
        "fdb replace 02:6c:61:62:00:00 dev p0 master static",
        "fdb replace 02:6c:61:62:00:0a dev p10 master static",
    ]


def test_rules_drop_on_entry_and_give_the_rest_its_class() -> None:
    assert "\n".join(plan.rules(THREE)) == (
        """\
table bridge lab
delete table bridge lab
table bridge lab {
  set sources { type ifname . ether_addr; elements = { p0 . 02:6c:61:62:00:00, p2 . 02:6c:61:62:00:02 }; }
  set silent { type ifname; elements = { p2 }; }
  set cut { type ifname . ifname; elements = { p0 . p2, p2 . p0 }; }
  set mtu_1400 { type ifname . ifname; elements = { p2 . p0 }; }
  map class { type ifname : classid; elements = { p0 : 1:2, p2 : 1:4 }; }
  chain forward {
    type filter hook forward priority filter;
    iifname . ether saddr != @sources drop
    iifname @silent drop
    oifname @silent drop
    iifname . oifname @cut drop
    ether type { ip, ip6 } iifname . oifname @mtu_1400 meta length > 1400 drop
    meta priority set iifname map @class
    ether daddr & 01:00:00:00:00:00 == 00:00:00:00:00:00 accept
    ether type arp accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    drop
  }
}"""
    )


def test_a_line_down_holds_the_paths_to_its_port() -> None:
    everywhere = "rate 8kbit ceil 100000000000bit cburst 12500000 quantum 1514"
    assert list(plan.queues(THREE)) == [
        "qdisc add dev p0 root handle 1: htb",
        "class replace dev p0 parent 1: classid 1:1 htb rate 20000000bit burst 3028 cburst 3028 quantum 1514",
        f"class replace dev p0 parent 1:1 classid 1:4 htb {everywhere}",
        "qdisc add dev p0 parent 1:4 handle 4: netem"
        " limit 8192 delay 11000us 1000us loss random 1% rate 100000000000bit",
        "qdisc add dev p2 root handle 1: htb",
        "class replace dev p2 parent 1: classid 1:1 htb"
        " rate 100000000000bit burst 12500000 cburst 12500000 quantum 1514",
        f"class replace dev p2 parent 1:1 classid 1:2 htb {everywhere}",
        "qdisc add dev p2 parent 1:2 handle 2: netem limit 8192 delay 0us 0us loss random 0% rate 0bit",
    ]


def test_a_rate_has_a_queue_of_100_ms_behind_what_is_in_flight() -> None:
    # 10 Mbit/s for 110 ms: 137,500 bytes.
    assert plan.netem(Link(delay_ms=10, rate_mbit=10)) == (
        "limit 91 delay 10000us 0us loss random 0% rate 10000000bit"
    )
    assert plan.netem(Link(rate_mbit=0.001)).startswith("limit 2 ")


def test_jitter_may_reorder_only_without_a_rate() -> None:
    assert plan.netem(Link(jitter_ms=1, reorder=True)).endswith("rate 0bit")
    assert plan.netem(Link(jitter_ms=1)).endswith("rate 100000000000bit")


def test_a_line_up_limits_the_interface_itself() -> None:
    assert plan.line_up("net0", Line(100, 1)) == (
        "qdisc replace dev net0 root tbf rate 100000000bit burst 12500 latency 100ms"
    )
    assert plan.line_up("net0", Line(None, 1)) == "qdisc replace dev net0 root pfifo"


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"nl-test-{secrets.token_hex(3)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.root
def test_the_tools_take_every_command_though_the_kernel_may_have_no_netem(namespace: str) -> None:
    def errors(*tool: str, lines: Iterator[str]) -> set[str]:
        text = "".join(f"{line}\n" for line in lines)
        done = subprocess.run(tool, input=text, text=True, capture_output=True, check=False)
        said = [line for line in done.stderr.splitlines() if not re.match(r"Command failed -:\d+$", line)]
        return set(said)

    interfaces = [(namespace, "x0"), None, (namespace, "x2")]
    assert errors("ip", "-n", namespace, "-batch", "-", lines=plan.cables(interfaces)) == set()
    assert errors("bridge", "-n", namespace, "-batch", "-", lines=plan.addresses([0, 2])) == set()
    nft = ["ip", "netns", "exec", namespace, "nft", "-f", "-"]
    for _ in range(2):  # the second time they replace themselves
        assert errors(*nft, lines=plan.rules(THREE)) == set()
    tc = ["tc", "-n", namespace, "-force", "-batch", "-"]
    without_netem = (line for line in plan.queues(THREE) if "netem" not in line)
    assert errors(*tc, lines=without_netem) == set()
    no_such_kind = {"Error: Specified qdisc kind is unknown."}
    links = (Link(), Link(60_000, 60_000, 1, 100_000, 68, True), Link(0.001, 0.001, 1e-9, 0.001))
    for link in links:
        add = [plan.change_path("add", 2, 0, link)]
        assert errors(*tc, lines=iter(add)) in (set(), no_such_kind)
        errors(*tc, lines=iter(["qdisc del dev p0 parent 1:4"]))
    for line in (Line(0.001, 0.001), Line(100_000, 100_000), Line()):
        assert errors(*tc, lines=iter([plan.line_up("x0", line), plan.line_down(0, line)])) == set()
