"""A lab as a whole: everybody reaches everybody, delays are those of the matrix, and nothing stays behind."""

import asyncio
import dataclasses
import re
import signal
import socket
import subprocess
import sys
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from netns_lab.building import SiteBuilder
from netns_lab.cleanup import RUN_DIR, LabRecord, clean_dead, records
from netns_lab.echo import Address, Pair, Prober, Reply
from netns_lab.internet.link import Link
from netns_lab.internet.switch_model import port_mac
from netns_lab.lab import Lab
from netns_lab.namespace import NETNS_DIR
from netns_lab.topology import TOPOLOGIES, Topology, load_topology
from re6st_core.errors import ConfigError, RouterError
from tests.helpers.lab_traffic import NOTHING_WITHIN_S, pings, tcp_source
from tests.helpers.topologies import SMALL, topology

pytestmark = pytest.mark.root

# A busy machine makes echoes late; they are never early.
TOLERANCE_MS = 5.0


def targets(topology: Topology) -> dict[Pair, Address]:
    """Every pair that can ask directly."""
    return {
        (a, b): address
        for a in topology.nodes
        for b in topology.nodes
        if a != b and (address := topology.direct_address(a, b)) is not None
    }


async def measure(lab: Lab) -> dict[Pair, Reply]:
    async with Prober(lab.machines, targets(lab.topology)) as prober:
        return await prober.measure(count=4, interval_s=0.1, wait_s=0.2)


def leftovers(lab: Lab) -> list[str]:
    """What is still there of a lab."""
    return what_is_left_of(lab.record)


def what_is_left_of(record: LabRecord) -> list[str]:
    found = [path.name for path in NETNS_DIR.glob(record.namespace("*"))]
    found += [path.name for path in RUN_DIR.glob(f"*{record.lab_id}*")]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if record.lab_id in line]
    assert record.directory is not None
    return found + [str(record.directory)] * record.directory.exists()


def test_round_trips_are_those_of_the_matrix_and_nothing_stays(small: Topology) -> None:
    with Lab(small) as lab:
        replies = asyncio.run(measure(lab))
        stats = lab.internet.stats()
    assert replies.keys() == targets(small).keys()
    for (a, b), reply in replies.items():
        assert 0 <= reply.rtt_ms - small.direct_rtt_ms(a, b) <= TOLERANCE_MS, (a, b)
    assert replies["a", "b"].hops == 1
    assert replies["h1", "a"].hops == 2  # through the NAT box
    assert stats.dropped["full"] == stats.dropped["unknown"] == 0
    assert leftovers(lab) == []


def test_every_pair_answers_and_a_cut_pair_does_not(small: Topology) -> None:
    async def first_answers(lab: Lab, within_s: float) -> set[Pair]:
        async with Prober(lab.machines, targets(small)) as prober:
            return await prober.until_all_answer(
                interval_s=0.05, within_s=within_s, on_answer=lambda pair, missing: None
            )

    with Lab(small) as lab:
        assert asyncio.run(first_answers(lab, 10)) == set()
        lab.cut("a", "b")
        assert asyncio.run(first_answers(lab, 0.5)) == {("a", "b"), ("b", "a")}
        lab.heal("b", "a")
        lab.set_link("a", "b", Link(delay_ms=30), one_way=True)
        assert 40 <= asyncio.run(measure(lab))["b", "a"].rtt_ms < 60
        lab.set_link("a", "b", Link(delay_ms=30))
        assert asyncio.run(measure(lab))["a", "b"].rtt_ms >= 60


def test_a_silent_node_is_alone_whether_it_has_a_port_or_shares_one(small: Topology) -> None:
    carrier = ["cat", "/sys/class/net/net0/carrier"]
    h2, c = small.address_of("h2"), small.address_of("c")
    assert h2
    assert c
    with Lab(small) as lab:
        lab.silence("h1")
        assert not pings(lab, "h1", h2, within_s=NOTHING_WITHIN_S)
        assert not pings(lab, "h1", c, within_s=NOTHING_WITHIN_S)
        assert pings(lab, "h2", c)
        assert lab.machines["h1"].run(carrier) == "1\n"
        lab.revive("h1")
        assert pings(lab, "h1", h2)
        for name, asking in (("c", "a"), ("home", "h2")):
            lab.silence(name)
            assert not pings(lab, asking, c, within_s=NOTHING_WITHIN_S)
            lab.revive(name)
            assert pings(lab, asking, c)


def test_a_new_address_answers_and_the_old_one_does_not(small: Topology) -> None:
    with Lab(small) as lab:
        before, after = IPv4Address("203.0.113.2"), IPv4Address("203.0.113.77")
        assert pings(lab, "a", before)
        lab.change_address("b", after)
        assert lab.topology.address_of("b") == after
        known = lab.machines["a"].run(["ip", "neigh", "show", "nud", "permanent"])
        assert f"{after} dev net0 lladdr {port_mac(lab.port('b'))} PERMANENT" in known
        assert pings(lab, "a", after)
        assert not pings(lab, "a", before, within_s=NOTHING_WITHIN_S)
        a = small.address_of("a")
        assert a
        assert tcp_source(lab, "b", "a", a, 80) == after
        lab.change_address("h1", IPv4Address("203.0.113.78"))  # of the box it is behind
        assert tcp_source(lab, "h2", "a", a, 80) == IPv4Address("203.0.113.78")


def test_what_can_not_be_done_to_a_lab_is_explained(small: Topology) -> None:
    with Lab(small) as lab:
        for act, message in (
            (lambda: lab.cut("h1", "h2"), "h1 and h2 are at the same site"),
            (lambda: lab.silence("hh1"), "no node or site 'hh1', did you mean 'h1'?"),
            (lambda: lab.box("a"), "site a has neither a NAT nor a firewall"),
            (lambda: lab.change_address("a", IPv4Address("203.0.113.2")), "is the address of site b"),
            (lambda: lab.change_address("a", IPv4Address("192.0.2.1")), "not an address of the Internet"),
            (
                lambda: lab.change_address("a", IPv6Address("2001:db8:1::9")),
                "no public IPv6 address that could",
            ),
        ):
            with pytest.raises(ConfigError, match=re.escape(message)):
                act()
        assert lab.topology is small


def test_the_topology_with_every_key_can_be_built_and_upnp_answers_in_its_home() -> None:
    with Lab(load_topology(TOPOLOGIES / "everything.toml")) as lab:
        paris, home = lab.topology.site("paris").address, lab.topology.site("home").address
        assert paris
        assert home
        assert tcp_source(lab, "phone", "paris", paris, 80) == lab.topology.site("mobile").address
        upnpc = ["upnpc", "-u", "http://192.168.1.1:5000/rootDesc.xml", "-s"]
        assert f"ExternalIPAddress = {home}\n" in lab.machines["h1"].run(upnpc)
    assert leftovers(lab) == []


def test_an_offline_node_can_fall_silent_but_has_no_path_to_cut() -> None:
    text = '[[site]]\nname = "lan"\noffline = true\nnodes = ["p", "q"]\n[[site]]\nname = "a"\n'
    with Lab(topology(text)) as lab:
        q = lab.topology.address_of("q")
        assert q
        assert pings(lab, "p", q)
        for name in ("q", "lan"):
            lab.silence(name)
            assert not pings(lab, "p", q, within_s=NOTHING_WITHIN_S)
            lab.revive(name)
            assert pings(lab, "p", q)
        with pytest.raises(ConfigError, match="p is offline"):
            lab.cut("a", "p")


def test_two_labs_of_the_same_topology_do_not_meet(small: Topology) -> None:
    with Lab(small) as survivor:
        with Lab(small) as other:
            assert {survivor.record.lab_id, other.record.lab_id} <= {record.lab_id for record in records()}
            assert asyncio.run(measure(other)).keys() == targets(small).keys()
        assert leftovers(other) == []
        assert asyncio.run(measure(survivor)).keys() == targets(small).keys()
        assert survivor.internet.stats().dropped["unknown"] == 0


def test_forwarding_is_on_only_where_it_is_needed(small: Topology) -> None:
    with Lab(small) as lab:
        forwarding = {
            name: lab.machines[name].run(
                ["sysctl", "-n", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]
            )
            for name in ("a", "h1", "home-box", "c-box")
        }
    assert forwarding == {"a": "0\n1\n", "h1": "0\n1\n", "home-box": "1\n0\n", "c-box": "0\n0\n"}


def test_a_failure_while_building_leaves_nothing(small: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: SiteBuilder) -> None:
        raise RouterError("no NAT today")

    monkeypatch.setattr(SiteBuilder, "_build_nat", refuse)
    lab = Lab(small)
    with pytest.raises(RouterError, match="no NAT today"), lab:
        pass
    assert leftovers(lab) == []


def test_a_failure_at_the_end_leaves_nothing_either(small: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise RouterError("no end today")

    lab = Lab(small, internet="switch").__enter__()
    stop = lab.internet.stop
    monkeypatch.setattr(lab.internet, "stop", refuse)
    with pytest.raises(RouterError, match="no end today"):
        lab.__exit__(None, None, None)
    assert leftovers(lab) == []
    stop()  # nobody else looks after the process that was killed


KILLED_WHILE_BUILDING = """
import os, signal, sys
sys.path[:0] = {path!r}
import netns_lab.lab
from netns_lab.topology import parse_topology

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

owner, name = {stage!r}.rsplit(".", 1)
setattr(eval("netns_lab." + owner), name, die)
netns_lab.lab.Lab(parse_topology({document!r}, name="small", source="small"), label={stage!r}).__enter__()
"""


@pytest.mark.parametrize(
    "stage",
    ["lab.create_machines", "lab.start_internet", "lab.SiteBuilder._build_nat", "building.install_nat"],
)
def test_an_owner_killed_while_building_leaves_nothing_that_the_next_run_does_not_remove(stage: str) -> None:
    program = KILLED_WHILE_BUILDING.format(path=sys.path, stage=stage, document=SMALL)
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    (record,) = (record for record in records() if record.label == stage)
    assert not record.alive
    clean_dead()
    assert what_is_left_of(record) == []


@pytest.mark.parametrize("inodes", [2, 4, 9])
def test_a_full_disk_is_explained_and_nothing_stays(small: Topology, tmp_path: Path, inodes: int) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"nr_inodes={inodes}", "tmpfs", tmp_path], check=True)
    try:
        lab = Lab(small, keep=tmp_path / "kept")
        with pytest.raises(ConfigError, match=rf"{tmp_path}/kept.*: No space left on device"), lab:
            pass
        assert [path for path in leftovers(lab) if path != str(lab.directory)] == []
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_directory_too_deep_for_sockets_is_refused(small: Topology, tmp_path: Path) -> None:
    lab = Lab(small, keep=tmp_path / ("deep" * 20))
    with pytest.raises(ConfigError, match=r"too long by \d+ bytes for the sockets of node (h1|h2)"), lab:
        pass
    assert leftovers(lab) == [str(lab.directory)]


def test_missing_programs_are_named_with_their_packages(
    small: Topology, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path=None: None if name == "nft" else f"/bin/{name}")
    with pytest.raises(ConfigError, match="nft not found, as root: apt-get install -y nftables"), Lab(small):
        pass


def test_a_wrong_clock_needs_the_program_for_it(small: Topology, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "shutil.which", lambda name, path=None: None if name == "faketime" else f"/bin/{name}"
    )
    wrong = tuple(dataclasses.replace(node, clock_offset_s=1.0) for node in small.node_list)
    with pytest.raises(ConfigError, match="apt-get install -y faketime"):
        Lab(dataclasses.replace(small, node_list=wrong)).__enter__()


def test_kept_files_stay_and_a_used_directory_is_refused(small: Topology, tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    with Lab(small, keep=keep) as lab:
        assert lab.directory == keep
    assert (keep / "logs" / "switch.log").exists()
    with pytest.raises(ConfigError, match="not an empty directory"), Lab(small, keep=keep):
        pass


def test_ping_from_a_command_and_tcp_between_machines(small: Topology) -> None:
    with Lab(small) as lab:
        lab.machines["h2"].run(["ping", "-c", "1", "-W", "2", "203.0.113.3"])
        with (
            lab.machines["c"].socket(socket.AF_INET, socket.SOCK_STREAM) as server,
            lab.machines["h1"].socket(socket.AF_INET, socket.SOCK_STREAM) as client,
        ):
            for each in (server, client):
                each.settimeout(5)
            server.bind(("203.0.113.3", 80))
            server.listen()
            client.connect(("203.0.113.3", 80))
            accepted, source = server.accept()
            accepted.close()
    assert source[0] == "203.0.113.4"  # the NAT's, not the LAN's
