"""Opening a path: it takes both directions, and only the peer's own packets count."""

import socket
from collections.abc import Iterator

import pytest

from netns_lab.boxes.behaviour import BLOCKED_UDP
from netns_lab.boxes.nat_bench import Bench, Host, Place
from netns_lab.boxes.nat_probe import Prober
from netns_lab.boxes.punch import punch

pytestmark = pytest.mark.root

PUBLIC, OTHER_PUBLIC, BLOCKED, LINUX = range(4)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench([Place(), Place(), Place(BLOCKED_UDP), Place("masquerade")]) as bench:
        yield bench


def tried(bench: Bench, *pairs: tuple[int, int]) -> list[bool]:
    def host(place: int) -> Host:
        return bench.hosts[place][0]

    with Prober(bench.server, bench.server_addresses) as prober:
        return punch(prober, [(host(one), host(other)) for one, other in pairs])


def test_all_pairs_are_tried_at_once_and_each_has_its_own_result(bench: Bench) -> None:
    assert tried(bench, (PUBLIC, OTHER_PUBLIC), (PUBLIC, BLOCKED), (LINUX, PUBLIC), (BLOCKED, LINUX)) == [
        True,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize("direction", ["saddr", "daddr"])
def test_a_path_in_one_direction_is_none(bench: Bench, direction: str) -> None:
    rule = f"add rule ip one_way input ip {direction} {bench.outside(PUBLIC)} udp dport 20000 drop"
    table = "table ip one_way { chain input { type filter hook input priority filter; }; }\n"
    deaf = bench.hosts[OTHER_PUBLIC if direction == "saddr" else PUBLIC][0]
    deaf.machine.nft(table + rule)
    assert tried(bench, (PUBLIC, OTHER_PUBLIC)) == [False]


def test_packets_of_others_open_nothing(bench: Bench) -> None:
    public = bench.hosts[OTHER_PUBLIC][0]
    with Prober(bench.server, bench.server_addresses) as prober:
        stranger = prober.open(public.machine, public.address)
        pair = (bench.hosts[PUBLIC][0], bench.hosts[BLOCKED][0])
        original = prober.open

        def open_and_disturb(*arguments: object) -> socket.socket:
            opened = original(*arguments)  # type: ignore[arg-type]  # passed on as they are
            stranger.sendto(b"12345678+", opened.getsockname())
            return opened

        prober.open = open_and_disturb  # type: ignore[method-assign, assignment]  # the moment when it is open
        assert punch(prober, [pair]) == [False]
