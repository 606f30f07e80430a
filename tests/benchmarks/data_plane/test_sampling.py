"""What the samples of the data plane are read from."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.data_plane import hand_made, sampling
from benchmarks.data_plane.chain import Chain
from benchmarks.data_plane.sampling import cpu_s, parse_ping, rss_mb
from netns_lab import cleanup
from re6st_core.errors import RouterError


def replies(count: int, ttl: int = 62, first_ms: float = 1.0) -> str:
    return "".join(
        f"64 bytes from 2001:db8::1: icmp_seq={n} ttl={ttl} time={first_ms + n / 100:.3f} ms\n"
        for n in range(count)
    )


def test_time_and_hops_are_read_from_the_replies() -> None:
    rtt_ms, hops = parse_ping("PING x\n" + replies(101) + "\n--- statistics ---\n")
    assert (round(rtt_ms, 3), hops) == (1.5, 3)


def test_the_longest_way_counts() -> None:
    assert parse_ping(replies(60, ttl=64) + replies(1, ttl=61))[1] == 4


def test_too_few_replies_are_no_sample() -> None:
    with pytest.raises(RouterError, match="only 49 of 100"):
        parse_ping(replies(49))


def test_this_process_has_used_time_and_memory_and_a_missing_one_has_not() -> None:
    here = Path(f"/proc/{os.getpid()}")
    assert cpu_s(here) > 0
    assert rss_mb(here) > 10
    gone = Path("/proc/0")
    assert (cpu_s(gone), rss_mb(gone)) == (0, 0)


@pytest.fixture
def chain() -> Iterator[Chain]:
    record = cleanup.register("test of a chain", None)
    try:
        yield (made := Chain.create(record, "bare"))
    finally:
        cleanup.clean(record, keep_directory=False)
    for process in made.processes:
        process.wait(10)


@pytest.mark.root
def test_a_sample_over_two_cables_sees_two_hops_and_counts_what_they_carry(chain: Chain) -> None:
    targets = hand_made.start_bare(chain)
    chain.until_reached({2: targets[2]})
    sampling.start_servers(chain, [2])
    sampling.crosses_every_cable(chain, 2, targets[2])
    with pytest.raises(RouterError, match="the cables carried"):
        sampling.crosses_every_cable(chain, 1, targets[2])
    sample = sampling.take(chain, 2, targets[2], 1)
    assert (sample.hops, sample.cpu_s_per_gb, sample.rss_mb) == (2, 0, 0)
    assert sample.tcp_mbit_s > 100
    assert sampling.path_mtu(chain.machines[0], targets[2]) == 1500
