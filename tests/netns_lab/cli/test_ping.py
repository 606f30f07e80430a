"""Echo between nodes: what it says, and what is wrong when it can't be asked."""

import json

import pytest

from netns_lab.cli.ping import Replies
from tests.helpers.lab_command import netns_lab


def test_a_summary_counts_what_was_lost() -> None:
    replies = Replies(sent=4, rtt_ms=[30.0, 10.0, 20.0], hops=[1, 1, 2])
    summary = replies.summary()
    assert summary["lost_percent"] == 25
    assert (summary["min_ms"], summary["median_ms"], summary["max_ms"]) == (10, 20, 30)
    assert summary["hops"] == 2
    assert Replies(sent=2).summary()["median_ms"] is None
    assert Replies().summary()["lost_percent"] is None


@pytest.mark.root
def test_each_answer_is_a_line_and_the_end_a_summary(two: str) -> None:
    done = netns_lab("ping", "--underlay", f"{two}:a", "b", "-c", 2, "-i", 0.1)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "a to b (203.0.113.2)"
    assert "2 sent, 2 received, 0.0 % lost" in lines
    assert sum("1 hop" in line for line in lines) == 2


@pytest.mark.root
def test_json_is_one_object_and_nothing_else(two: str) -> None:
    done = netns_lab("ping", "--underlay", f"{two}:a", "b", "-c", 2, "-i", 0.1, "--json")
    said = json.loads(done.stdout)
    assert said["received"] == 2
    assert 20 <= said["min_ms"] < 40
    assert said["address"] == "203.0.113.2"


@pytest.mark.root
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a", "b"], "neither an address nor a node that has joined; those are: none"),
        (["a", "c", "--underlay"], "those are: a, b"),
        (["a", "b", "-c", "0"], "must be positive"),
        (["a", "b", "-i", "-1"], "must be positive"),
        (["a", "b", "-i", "nan"], "must be positive"),
    ],
)
def test_what_cannot_be_asked_is_explained(two: str, arguments: list[str], said: str) -> None:
    done = netns_lab("ping", f"{two}:{arguments[0]}", *arguments[1:])
    assert done.returncode == 2
    assert said in done.stderr
