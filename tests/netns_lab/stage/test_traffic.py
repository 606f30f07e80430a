"""Packets of a size and downloads are counted as what really gets through."""

from collections.abc import Iterator

import pytest

from netns_lab.lab import Lab
from netns_lab.stage.traffic import HEADERS, answered, download
from tests.helpers.topologies import topology

pytestmark = pytest.mark.root

PATH = """
title = "a path of MTU 1400 that says 1500"
[defaults]
ip = ["ipv6"]
[[site]]
name = "a"
[[site]]
name = "b"
[delays]
all_ms = 5
[[link]]
from = "a"
to = "b"
mtu = 1400
"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(topology(PATH)) as lab:
        yield lab


async def test_packets_pass_up_to_the_size_that_the_path_takes_or_are_refused_by_the_line(lab: Lab) -> None:
    a, target = lab.machines["a"], lab.topology.address6_of("b")
    assert target is not None
    refused = (1501, 1)  # the sender is told at once
    for size, count in ((HEADERS, 3), (1400, 2), (1401, 0), (1500, 0), refused):
        assert await answered(a, target, size, count=count or 1) == count


async def test_nobody_answers_where_nobody_is(lab: Lab) -> None:
    target = lab.topology.address6_of("b")
    assert target is not None
    assert await answered(lab.machines["a"], target + 100, 100, count=1) == 0


async def test_a_download_is_timed_and_one_that_is_swallowed_never_ends(lab: Lab) -> None:
    a, b, address = lab.machines["a"], lab.machines["b"], lab.topology.address6_of("b")
    assert address is not None
    assert await download(b, a, address, 50_000, within_s=0.5) is None  # segments of 1500 bytes
    for machine in (a, b):
        machine.ip(["link set net0 mtu 1400"])
    took_s = await download(b, a, address, 50_000, within_s=10)
    assert took_s is not None
    assert 0.01 <= took_s < 10
    lab.cut("a", "b")
    assert await download(b, a, address, 1, within_s=0.5) is None
