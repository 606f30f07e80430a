"""One seed, several streams that do not disturb each other."""

from netns_lab.simulate.chance import chance


def test_a_stream_is_the_same_each_time_and_unlike_the_others() -> None:
    first = [chance(1, "rule").getrandbits(64) for _ in range(2)]
    assert first[0] == first[1]
    assert len({chance(seed, what).getrandbits(64) for seed in (1, 2) for what in ("a", "b")}) == 4
