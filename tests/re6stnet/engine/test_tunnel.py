"""The table of a tunnel's life."""

import pytest

from re6st_core.prefix import Prefix
from re6stnet.engine.tunnel import DEADLINE_S, TRANSITIONS, State, Step, Tunnel


def tunnel(state: State) -> Tunnel:
    return Tunnel("n", Prefix(16, 1), True, "wireguard", state, since=10.0)


def test_every_state_but_active_and_closed_ends_by_itself() -> None:
    assert set(State) - set(DEADLINE_S) == {State.ACTIVE, State.CLOSED}


def test_every_state_is_reachable() -> None:
    reachable = {State.PREPARING, State.ANSWERING, *TRANSITIONS.values()}
    assert reachable == set(State)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("step", Step)
def test_a_step_out_of_place_changes_nothing(state: State, step: Step) -> None:
    subject = tunnel(state)
    moved = subject.step(step, now=20.0)
    assert moved == ((state, step) in TRANSITIONS)
    assert subject.since == (20.0 if moved else 10.0)
    assert moved or subject.state is state


def test_nothing_leaves_closed() -> None:
    assert not any(state is State.CLOSED for state, _ in TRANSITIONS)


def test_the_deadline_counts_from_entering_the_state() -> None:
    assert tunnel(State.OFFERED).deadline == 10.0 + DEADLINE_S[State.OFFERED]
    assert tunnel(State.ACTIVE).deadline is None
