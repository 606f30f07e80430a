"""What a site sends is counted by destination, in the kernel; what it forwards is not."""

import asyncio
from collections.abc import Iterator
from ipaddress import IPv6Address

import pytest

from re6st_core.errors import RouterError
from re6st_core.prefix import Network, Prefix
from re6stnet.adapters import traffic
from re6stnet.adapters.traffic import TrafficCounter, owner
from re6stnet.engine.messages import Event, TrafficSeen
from tests.helpers.namespace_tests import TestNamespace, connect, namespaces

NETWORK = Network.parse("2001:db8:42::/48")
OWN, OTHER = Prefix(16, 1), Prefix(16, 2)


def test_an_address_belongs_to_the_longest_prefix() -> None:
    prefixes = {OTHER, Prefix(8, 0), Prefix(16, 3)}
    assert owner(IPv6Address("2001:db8:42:2::7"), NETWORK, prefixes) == OTHER
    assert owner(IPv6Address("2001:db8:42:9::7"), NETWORK, prefixes) == Prefix(8, 0)
    assert owner(IPv6Address("2001:db8:42:900::7"), NETWORK, prefixes) is None


@pytest.fixture
def spaces() -> Iterator[list[TestNamespace]]:
    with namespaces(2) as made:
        connect(*made)
        for space, prefix in zip(made, (OWN, OTHER), strict=True):
            space.run(f"ip address add {NETWORK.address(prefix)}/48 dev wire nodad")
        yield made


@pytest.mark.root
async def test_bytes_are_told_since_the_last_time(
    spaces: list[TestNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "ROUND_S", 0.01)
    told: asyncio.Queue[Event] = asyncio.Queue()
    counter = TrafficCounter(NETWORK, OWN, 1194, reachable=lambda: {OTHER}, post=told.put_nowait)
    ping = f"ping -6 -q -c 2 -i 0.01 -s 52 {NETWORK.address(OTHER)}"
    with spaces[0].entered():
        await counter.start()
        spaces[0].run(ping)
        assert await counter.read() == {OTHER: 200}
        assert await counter.read() == {}
        spaces[0].run("ping -6 -q -c 1 2001:db8:1::2")  # not in the network
        spaces[0].run(ping)
        following = asyncio.create_task(counter.follow())
        async with asyncio.timeout(10):
            assert await told.get() == TrafficSeen(((OTHER, 200),))
        following.cancel()
        await counter.start()  # replaces what an earlier daemon left
        assert await counter.read() == {}
        await counter.stop()
        with pytest.raises(RouterError, match="nft"):
            await counter.read()
        await counter.stop()


@pytest.mark.root
@pytest.mark.parametrize(
    "text", [b"{", b"[]", b'{"nftables": [{"set": {"elem": [{"elem": {"val": "x"}}]}}]}']
)
def test_counters_of_an_unknown_form_are_an_error_of_the_router(text: bytes) -> None:
    with pytest.raises(RouterError, match="unknown form"):
        traffic._decode(text)
