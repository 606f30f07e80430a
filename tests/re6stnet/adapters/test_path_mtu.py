"""The MTU of a path is found by what passes, not by what is said."""

from collections.abc import Iterator
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from re6st_core.errors import PeerError, RouterError
from re6st_core.peer_wire import MAX_MTU, MIN_MTU
from re6stnet.adapters.path_mtu import STEP, PathProbe, search
from tests.helpers.namespace_tests import TestNamespace, connect, namespaces

PEER = IPv6Address("fe80::2")


@pytest.fixture
def ends() -> Iterator[list[TestNamespace]]:
    with namespaces(2) as made:
        connect(*made)
        for number, end in enumerate(made, 1):
            end.run(f"ip addr add fe80::{number}/64 dev wire nodad")
        yield made


def swallow(end: TestNamespace, size: int) -> None:
    """Drop what is larger, without a word."""
    end.run("nft add table inet swallow")
    end.run("nft add chain inet swallow c { type filter hook input priority 0 ; }")
    end.run(f"nft add rule inet swallow c meta length > {size} drop")


@given(st.integers(0, 1500), st.integers(MIN_MTU, MAX_MTU))
async def test_the_search_finds_the_largest_step_that_passes(path: int, most: int) -> None:
    asked: list[int] = []

    async def passes(size: int) -> bool:
        asked.append(size)
        return size <= path

    found = await search(passes, most)
    if path >= most:
        assert (found, asked) == (most, [most])
    elif path < MIN_MTU:
        assert found is None
    else:
        assert found is not None
        assert found <= path < found + STEP
        assert len(asked) <= 7


@pytest.mark.root
async def test_a_path_that_takes_all_needs_two_packets(ends: list[TestNamespace]) -> None:
    with ends[0].entered():
        assert await PathProbe("wire", PEER).find(MAX_MTU) == MAX_MTU


@pytest.mark.root
@pytest.mark.parametrize("deaf", [0, 1])
async def test_a_black_hole_in_either_direction_is_found(ends: list[TestNamespace], deaf: int) -> None:
    swallow(ends[deaf], 1340)
    with ends[0].entered():
        probe = PathProbe("wire", PEER)
        assert await probe.find(MAX_MTU) == 1336
        assert await probe.still(1336)
        assert not await probe.still(MAX_MTU)


@pytest.mark.root
async def test_a_path_too_narrow_for_ipv6_is_none_at_all(ends: list[TestNamespace]) -> None:
    swallow(ends[1], 1200)
    with ends[0].entered():
        assert await PathProbe("wire", PEER).find(MAX_MTU) is None


@pytest.mark.root
async def test_a_peer_that_is_silent_says_nothing_about_the_path(ends: list[TestNamespace]) -> None:
    swallow(ends[1], 40)
    with ends[0].entered():
        probe = PathProbe("wire", PEER)
        with pytest.raises(PeerError, match="no answer"):
            await probe.find(MAX_MTU)
        assert await probe.still(MAX_MTU)
        with pytest.raises(RouterError, match="gone"):
            await PathProbe("gone", PEER).find(MAX_MTU)
