"""The picture: well-formed, small, and it shows what happened."""

import xml.etree.ElementTree as ET
from typing import Any

from netns_lab.stage.timeline import timeline

SVG = "{http://www.w3.org/2000/svg}"


def report(**changes: Any) -> dict[str, Any]:
    """A story of 10 s with one flow that lost 50 packets."""
    lane = {
        "from": "a",
        "to": "b",
        "begin_s": 1.0,
        "end_s": 9.0,
        "sent": 800,
        "lost": 50,
        "gaps": [{"start_s": 4.0, "end_s": 4.5, "packets": 50}],
        "rtt": [{"at_s": 1.0, "median_ms": 20.0, "largest_ms": 30.0}],
        "ways": [{"at_s": 1.0, "nodes": ["a", "r1", "b"]}, {"at_s": 4.5, "nodes": ["a", "r2", "b"]}],
    }
    return {
        "scenario": "test",
        "verdict": "pass",
        "expected": "pass",
        "duration_s": 10.0,
        "figures": {"blackout": {"value": 0.5, "unit": "s", "bound": "<= 1", "met": True}},
        "events": [{"at_s": 4.0, "text": "r1 <dies> & more"}],
        "timeline": {"flows": [lane]},
    } | changes


def texts(picture: str) -> str:
    return " ".join(" ".join(e.itertext()) for e in ET.fromstring(picture).iter(f"{SVG}text"))


def test_flow_gap_ways_events_and_figures_are_in_the_picture() -> None:
    picture = timeline(report())
    root = ET.fromstring(picture)
    assert len([e for e in root.iter(f"{SVG}rect") if e.get("class") == "bad"]) == 1
    for words in ("a-b", "50 of 800 lost", "a r1 b", "a r2 b", "r1 <dies> & more", "blackout: 0.5 s", "pass"):
        assert words in texts(picture)


def test_it_is_for_light_and_dark() -> None:
    assert "prefers-color-scheme:dark" in timeline(report())


def test_an_outcome_that_was_not_expected_is_said() -> None:
    assert "fail (expected: pass)" in texts(timeline(report(verdict="fail")))


def test_a_flow_that_never_had_a_way_is_in_the_picture_all_the_same() -> None:
    told = report()
    told["timeline"]["flows"][0]["ways"] = []
    picture = timeline(told)
    assert 'class="way' not in picture
    assert "a-b" in texts(picture)


def test_what_a_program_logged_in_colour_does_not_spoil_the_picture() -> None:
    picture = timeline(report(events=[{"at_s": 1.0, "text": "\x1b[31mn1 ended\x00: \ufffd"}]))
    assert "n1 ended" in texts(picture)


def test_a_story_without_flows_has_a_picture_too() -> None:
    assert "no flow was measured" in texts(timeline(report(timeline={"flows": []}, events=[], figures={})))


def test_a_figure_that_was_not_measured_is_said() -> None:
    missed = {"join": {"value": None, "unit": "s", "bound": "<= 3", "met": False}}
    assert "join: not measured" in texts(timeline(report(figures=missed)))
