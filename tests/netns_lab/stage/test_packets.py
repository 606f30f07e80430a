"""The log of a flow: lost packets are known by time, and gaps are as long as nothing came through."""

import pytest

from netns_lab.stage.packets import Gap, PacketLog


def log_of(fate: str, *, finished: bool = True) -> PacketLog:
    """A packet every 10 ms: ``+`` answered after 5 ms over 2 links, ``-`` never."""
    log = PacketLog()
    for i, letter in enumerate(fate):
        number = log.sent(i / 100)
        if letter == "+":
            log.answered(number & 0xFFFF, 5.0, 2)
    log.finished = finished
    return log


def test_every_lost_packet_is_in_a_gap_that_lasts_to_the_next_answered_one() -> None:
    log = log_of("++--+-+")
    assert log.lost() == 3
    assert log.gaps() == [Gap(0.02, 0.04, 2), Gap(0.05, 0.06, 1)]
    assert log.blackout_s() == pytest.approx(0.02)


def test_without_loss_there_is_no_gap() -> None:
    assert log_of("+++").gaps() == []
    assert log_of("+++").blackout_s() == 0
    assert PacketLog().gaps() == []


def test_a_flow_that_ends_in_a_gap_has_it() -> None:
    assert log_of("+--").gaps() == [Gap(0.01, 0.02, 2)]


def test_only_what_was_sent_in_the_time_asked_for_counts() -> None:
    log = log_of("--++-+")
    assert log.lost(0.03) == 1
    assert log.lost(0.0, 0.04) == 2
    assert log.gaps(0.015) == [Gap(0.04, 0.05, 1)]
    assert log.gaps(0.0, 0.03) == [Gap(0.0, 0.02, 2)]


def test_what_may_still_be_answered_is_not_judged() -> None:
    log = log_of("+" * 150 + "-" * 50, finished=False)
    assert log.lost() == 0
    assert log.gaps() == []
    log.finished = True
    assert log.lost() == 50


def test_a_reply_counts_once_and_for_the_newest_packet_of_its_number() -> None:
    log = log_of("-" * 70000)
    log.answered(5, 30.0, 1)  # of 5 and 65541 the newer
    log.answered(5, 10.0, 1)
    assert log.lost() == 69999
    assert log.first_answer_s() == pytest.approx(655.41 + 0.03)
    assert log.median_ms() == 30.0


def test_the_first_answer_and_round_trips_of_a_part() -> None:
    log = log_of("--++")
    assert log.first_answer_s() == pytest.approx(0.025)
    assert log.first_answer_s(0.03) == pytest.approx(0.035)
    assert log.first_answer_s(1.0) is None
    assert log.median_ms() == 5.0
    assert log.median_ms(0.0, 0.02) is None
    assert log.last_ms == 5.0
    assert log.span_s == (0.0, 0.03)


def test_a_picture_gets_sums_and_changes() -> None:
    log = log_of("+" * 10 + "-" * 10 + "+" * 5)
    log.answered(log.sent(0.25), 50.0, 3)
    assert [(round(i.at_s, 2), i.median_ms, i.largest_ms) for i in log.intervals(0.1)] == [
        (0.0, 5.0, 5.0),
        (0.2, 5.0, 50.0),
    ]
    assert log.hop_changes() == [(0.0, 2), (0.25, 3)]
