"""Feasibility, as RFC 8966 defines it."""

from hypothesis import given
from hypothesis import strategies as st

from netns_lab.model.feasibility import FORGET_S, SEQNOS, Distances, newer

seqnos = st.integers(0, SEQNOS - 1)
metrics = st.integers(0, 65534)


@given(seqnos, st.integers(1, SEQNOS // 2 - 1))
def test_seqnos_are_compared_modulo_their_size(seqno: int, ahead: int) -> None:
    later = (seqno + ahead) % SEQNOS
    assert newer(later, seqno)
    assert not newer(seqno, later)
    assert not newer(seqno, seqno)


@given(seqnos, metrics, seqnos, metrics)
def test_a_route_is_feasible_if_it_is_newer_or_as_new_and_better(
    told_seqno: int, told_metric: int, seqno: int, metric: int
) -> None:
    distances = Distances()
    assert distances.is_feasible(7, seqno, metric)  # of whom nothing was ever told
    distances.told(7, told_seqno, told_metric)
    expected = newer(seqno, told_seqno) or (seqno == told_seqno and metric < told_metric)
    assert distances.is_feasible(7, seqno, metric) == expected


@given(st.lists(st.tuples(st.integers(100, 110), metrics), min_size=1))
def test_what_was_told_never_gets_worse(told: list[tuple[int, int]]) -> None:
    distances = Distances()
    for seqno, metric in told:
        distances.told(7, seqno, metric)
    newest = max(seqno for seqno, _ in told)
    assert distances.seqno(7) == newest
    assert distances.wanted(7) == newest + 1
    assert not any(distances.is_feasible(7, seqno, metric) for seqno, metric in told)


def test_nothing_was_told_and_nothing_is_wanted() -> None:
    assert (Distances().seqno(7), Distances().wanted(7)) == (0, 0)


def test_a_destination_without_route_is_forgotten_after_a_while() -> None:
    distances = Distances()
    distances.told(7, 100, 5)
    distances.told(8, 100, 5)
    for now in range(0, int(FORGET_S) + 60, 60):
        distances.forget_old({8}, float(now))
    assert list(distances) == [8]
    assert distances.is_feasible(7, 3, 60000)


def test_a_route_in_between_starts_the_waiting_anew() -> None:
    distances = Distances()
    distances.told(7, 100, 5)
    distances.forget_old((), 0.0)
    distances.forget_old({7}, FORGET_S - 1)
    distances.forget_old((), FORGET_S + 1)
    assert list(distances) == [7]
