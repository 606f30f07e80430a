"""A flow: every packet that is lost on the way is known, and a thread does it."""

import threading
import time
from collections.abc import Callable
from ipaddress import IPv6Address

import pytest

from netns_lab.lab import Lab
from netns_lab.stage.flow import Flow, Track
from netns_lab.topology import Topology


def until(true: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait until it is true; the thread of the flow works meanwhile."""
    end_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end_s
        threading.Event().wait(0.01)


def test_a_track_notes_only_changes() -> None:
    track = Track()
    assert not track.now
    for at_s, way in enumerate((("a", "b"), ("a", "b"), ("a", "c", "b"))):
        track.note(at_s, way)
    assert track.changes == [(0, ("a", "b")), (2, ("a", "c", "b"))]
    assert track.now == ("a", "c", "b")


@pytest.mark.root
def test_what_a_cut_takes_away_is_lost_and_only_that(small: Topology) -> None:
    with Lab(small) as lab:
        a, b = lab.machines["a"], lab.machines["b"]
        for machine, address in ((a, "2001:db8:1::a"), (b, "2001:db8:1::b")):
            machine.ip([f"addr add {address}/64 dev net0 nodad"])
        with Flow("a", "b", a, IPv6Address("2001:db8:1::b"), clock=time.monotonic) as flow:
            until(lambda: flow.packets.first_answer_s() is not None)
            cut_s = time.monotonic()
            lab.internet.cut(lab.port("a"), lab.port("b"))
            until(lambda: flow.packets.lost() > 10)
            lab.internet.heal(lab.port("a"), lab.port("b"))
            healed_s = time.monotonic()
            until(lambda: flow.packets.first_answer_s(healed_s) is not None)
        assert not flow.running
        (gap,) = flow.packets.gaps(cut_s - 0.1)
        assert cut_s - 0.1 <= gap.start_s <= gap.end_s <= healed_s + 0.5
        assert flow.packets.lost() == gap.packets
        assert 20 <= (flow.packets.median_ms() or 0) < 40
        flow.stop()  # harmless
