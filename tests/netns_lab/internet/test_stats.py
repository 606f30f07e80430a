"""Counters of ports add up, and a line says what matters."""

from netns_lab.internet.stats import InternetStats, PortStats

PORTS = (
    PortStats(received=10, delivered=4, dropped={"loss": 2, "cut": 1}),
    PortStats(received=5, delivered=8, dropped={"loss": 1}),
)


def test_ports_add_up() -> None:
    stats = InternetStats(ports=PORTS)
    assert (stats.received, stats.delivered) == (15, 12)
    assert stats.dropped == {"loss": 3, "cut": 1}
    assert stats.dropped["full"] == 0


def test_the_summary_says_how_late_how_busy_and_what_was_lost() -> None:
    stats = InternetStats(ports=PORTS, peak_per_s=12, late_p50_us=20, late_p99_us=130, late_max_us=1234)
    assert stats.summary() == (
        "12 frames, at most 12 in a second, late by 0.13 ms (p99), 1.23 ms (most); dropped: loss 3, cut 1"
    )


def test_the_summary_leaves_out_what_is_not_known() -> None:
    assert InternetStats(ports=()).summary() == "0 frames; dropped: none"
