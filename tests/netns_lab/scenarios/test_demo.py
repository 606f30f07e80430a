"""How the demo judges: what counts as faster, what is shown of it, and when routes have settled."""

import io
from ipaddress import IPv6Address

from rich.console import Console

from netns_lab.echo import Pair, Reply
from netns_lab.scenarios.demo import _same, _with_names, faster, matrix

DIRECT: dict[Pair, tuple[float, bool]] = {
    ("n1", "n2"): (200, True),
    ("n1", "n3"): (50, True),
    ("n2", "n3"): (90, False),
}


def reply(rtt_ms: float, hops: int) -> Reply:
    return Reply(IPv6Address("2001:db8::1"), rtt_ms, hops)


def test_faster_means_over_a_relay_and_by_more_than_noise() -> None:
    assert faster(DIRECT, {("n1", "n2"): reply(120, 2)}) == [("n1", "n2")]
    assert faster(DIRECT, {("n1", "n2"): reply(120, 1)}) == []  # no relay: something else is wrong
    assert faster(DIRECT, {("n1", "n2"): reply(195, 2)}) == []


def test_the_matrix_shows_both_times_what_was_not_measured_and_what_did_not_answer() -> None:
    output = io.StringIO()
    overlay = {("n1", "n2"): reply(120, 2), ("n2", "n3"): reply(91, 1)}
    Console(file=output, width=100).print(matrix(("n1", "n2", "n3"), DIRECT, overlay))
    for cell in ("120 / 200", "- / 50", "91 / 90*"):
        assert cell in output.getvalue()


def test_routes_have_settled_when_times_and_answers_stay() -> None:
    before = {("n1", "n2"): reply(100, 1), ("n1", "n3"): reply(20, 1)}
    assert _same(before, {("n1", "n2"): reply(109, 1), ("n1", "n3"): reply(24, 1)})
    assert not _same(before, {("n1", "n2"): reply(80, 2), ("n1", "n3"): reply(20, 1)})
    assert not _same(before, {("n1", "n2"): reply(100, 1)})


def test_traceroute_names_the_nodes() -> None:
    assert _with_names(" 1  2001:db8::2  5 ms\n", {"2001:db8::2": "n2"}) == " 1  2001:db8::2 (n2)  5 ms\n"
