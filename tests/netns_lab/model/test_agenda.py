"""Virtual time passes in order, and equal runs leave equal traces."""

import pytest

from netns_lab.model.agenda import Agenda, Trace


def test_work_is_done_in_order_of_time_then_of_noting() -> None:
    agenda, done = Agenda(), []
    for name, delay_s in (("late", 2.0), ("first", 1.0), ("second", 1.0)):
        agenda.after(delay_s, lambda name=name: done.append((name, agenda.now)))  # type: ignore[misc]  # mypy can't infer a lambda with a default
    agenda.run(1.5)
    assert done == [("first", 1.0), ("second", 1.0)]
    assert agenda.now == 1.5
    agenda.run(1.0)
    assert done[2:] == [("late", 2.0)]
    assert (agenda.done, len(agenda)) == (3, 0)


def test_work_may_note_more_work() -> None:
    agenda, ticks = Agenda(), []

    def tick() -> None:
        ticks.append(agenda.now)
        agenda.after(1.0, tick)

    agenda.after(0.0, tick)
    agenda.run(3.5)
    assert ticks == [0.0, 1.0, 2.0, 3.0]


def test_nothing_happens_in_the_past() -> None:
    with pytest.raises(ValueError, match="past"):
        Agenda().after(-0.1, lambda: None)


def test_a_digest_depends_on_what_when_and_who() -> None:
    def digest(delay_s: float, who: str, what: str) -> str:
        agenda = Agenda()
        trace = Trace(agenda)
        agenda.after(delay_s, lambda: trace.note(who, what))
        agenda.run(10)
        return trace.digest

    digests = [
        digest(*case) for case in ((1, "n1", "Timer"), (2, "n1", "Timer"), (1, "n2", "Timer"), (1, "n1", "X"))
    ]
    assert len(set(digests)) == 4
    assert digest(1, "n1", "Timer") == digests[0]


def test_somebody_who_reads_along_gets_the_details_and_the_same_digest() -> None:
    lines: list[str] = []
    silent, shown = Trace(Agenda()), Trace(Agenda(), lines.append)
    for trace in (silent, shown):
        trace.note("n1", "Send", "an offer")
    assert silent.digest == shown.digest
    assert "an offer" in lines[0]
