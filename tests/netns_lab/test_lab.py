"""A lab as a whole: everybody reaches everybody, delays are those of the matrix, and nothing stays behind."""

import asyncio
import socket
from pathlib import Path

import pytest

from netns_lab.cleanup import RUN_DIR, records
from netns_lab.echo import Address, Pair, Prober, Reply
from netns_lab.internet.link import Link
from netns_lab.lab import Lab
from netns_lab.namespace import NETNS_DIR
from netns_lab.topology import Topology
from re6st_core.errors import ConfigError, RouterError

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
    found = [path.name for path in NETNS_DIR.glob(lab.record.namespace("*"))]
    found += [path.name for path in RUN_DIR.glob(f"*{lab.record.lab_id}*")]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if lab.record.lab_id in line]
    return found + [str(lab.directory)] * lab.directory.exists()


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
        lab.internet.cut(lab.port("a"), lab.port("b"))
        assert asyncio.run(first_answers(lab, 0.5)) == {("a", "b"), ("b", "a")}
        lab.internet.heal(lab.port("a"), lab.port("b"))
        lab.internet.set_link(lab.port("a"), lab.port("b"), Link(delay_ms=30))
        assert asyncio.run(measure(lab))["a", "b"].rtt_ms >= 40


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
    def refuse(self: Lab, number: int, site: object) -> None:
        raise RouterError("no NAT today")

    monkeypatch.setattr(Lab, "_build_nat", refuse)
    lab = Lab(small)
    with pytest.raises(RouterError, match="no NAT today"), lab:
        pass
    assert leftovers(lab) == []


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
