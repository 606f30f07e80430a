"""Bootstrap answers: who is on the relay and who called lately, never the caller, never the revoked."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from re6st_core.address import format_endpoints
from re6st_core.prefix import Prefix
from re6st_core.registry_wire import BootstrapPeer
from registry.domain.records import Node
from registry.domain.sampling import RECENT, Sighting
from registry.http.presence import Presence, fill
from registry.publication import Publication
from tests.helpers.registry import make, now

NOW = now()
CALLER = Prefix(16, 0)


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Publication]:
    registry = make(tmp_path)
    yield registry.published(NOW)
    registry.database.close()


def presence(seen: range, relayed: range) -> Presence:
    made = Presence()
    for number in seen:
        made.sightings.put(Sighting(Prefix(16, number), (), 100 + number, NOW))
    for number in relayed:
        made.relayed.add(Prefix(16, number))
        made.serials[Prefix(16, number)] = 100 + number
    return made


def sample(made: Presence, published: Publication, seed: int = 1) -> list[BootstrapPeer]:
    return made.sample(8, caller=CALLER, published=published, now=NOW, rng=random.Random(seed))


def test_half_are_on_the_relay_if_there_are_enough_of_both(published: Publication) -> None:
    peers = sample(presence(range(100), range(50, 100)), published)
    assert len(peers) == 8
    assert sum(peer.relayed for peer in peers) >= 4


@pytest.mark.parametrize(
    ("seen", "relayed"), [(range(4), range(0)), (range(0), range(4)), (range(2), range(1, 4))]
)
def test_few_are_all_found_but_the_caller(published: Publication, seen: range, relayed: range) -> None:
    for seed in range(20):
        peers = sample(presence(seen, relayed), published, seed)
        assert sorted(peer.prefix.value for peer in peers) == [1, 2, 3]
        assert all(peer.relayed == (peer.prefix.value in relayed) for peer in peers)


def test_the_revoked_are_left_out_and_forgotten(tmp_path: Path) -> None:
    class Revoking(Publication):
        def is_revoked(self, serial: int) -> bool:
            return serial in (101, 102)

    registry = make(tmp_path)
    plain = registry.published(NOW)
    registry.database.close()
    published = Revoking(plain.parameters, plain.signed, plain.crl, plain.crl_number, plain.due)
    made = presence(range(4), range(2, 3))
    assert [peer.prefix.value for peer in sample(made, published)] == [3]
    assert made.sightings.get(Prefix(16, 1)) is None


def member(number: int, seen: datetime, endpoints: str) -> Node:
    prefix = Prefix(16, number)
    return Node(prefix=prefix, number=number, created=NOW, expires=NOW, endpoints=endpoints, seen=seen)


def test_a_restart_takes_up_what_the_database_has(published: Publication) -> None:
    made = Presence()
    known = member(1, NOW, "192.0.2.1,1194,udp")
    broken = member(2, NOW, "nonsense")
    old = member(3, NOW - 2 * RECENT - timedelta(1), "")
    made.restore([(known, 7), (broken, 8), (old, 9)])
    peers = sorted(sample(made, published), key=lambda peer: peer.prefix.value)
    assert [(peer.prefix.value, format_endpoints(peer.endpoints)) for peer in peers] == [
        (1, "192.0.2.1,1194,udp"),
        (2, ""),
    ]


def test_a_short_answer_is_filled_with_who_called_last_but_nobody_twice_nor_the_caller() -> None:
    peers = [BootstrapPeer(prefix=Prefix(16, 1))]
    nodes = [member(number, NOW - timedelta(days=9), "") for number in (0, 1, 2, 3, 4)]
    filled = fill(peers, nodes, 3, caller=CALLER)
    assert [peer.prefix.value for peer in filled] == [1, 2, 3]
