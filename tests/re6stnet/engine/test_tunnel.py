"""The table of a tunnel's life."""

import re
from pathlib import Path

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


def test_the_page_in_docs_is_drawn_from_the_table() -> None:
    page = (Path(__file__).parents[3] / "docs/protocol/tunnel-life.md").read_text()
    rows = set(re.findall(r"^\| (\w+) \| (\w+) \| (\w+) \|$", page, re.M))
    assert rows == {
        (state.value, step.value, after.value)
        for (state, step), after in TRANSITIONS.items()
        if step is not Step.FAILED
    }
    limits = dict(re.findall(r"^\| (\w+) \| ([0-9.]+) s \|$", page, re.M))
    assert limits == {state.value: f"{limit:g}" for state, limit in DEADLINE_S.items()}
