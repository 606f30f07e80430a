"""``netns-lab model`` on the command line."""

import json

import pytest

from netns_lab.cli import main
from netns_lab.model import command
from netns_lab.model.runner import Run
from netns_lab.model.stage import Result
from netns_lab.model.stories import STORIES


def test_without_a_name_it_lists_the_stories(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in STORIES)


def test_a_story_is_told_and_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "cold_start", "--seeds", "2", "--nodes", "8", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "cold_start: 2 runs, 0 failed" in out
    assert "full_reach" in out
    assert "pass: " in out


def test_json_is_one_object_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "clock_wrong", "--seed", "7", "--nodes", "8", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "pass"
    story = report["stories"]["clock_wrong"]
    assert story["runs"] == 1
    assert len(story["digest"]) == 8
    assert story["figures"]["full_reach"]["gap"].startswith("issue 5")


def test_a_trace_shows_what_engines_hear_and_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "cold_start", "--seed", "7", "--nodes", "8", "--trace"]) == 0
    captured = capsys.readouterr()
    assert "AskBootstrap" in captured.err
    assert "transport='wireguard'" in captured.err
    assert "AskBootstrap" not in captured.out


def test_all_mistakes_are_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["model", "cold", "--nodes", "2", "--seeds", "0", "--jobs", "0", "--trace"]
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert all(
        word in err for word in ("no story 'cold'", "--nodes 2", "--seeds 0", "--jobs 0", "--trace needs")
    )


def test_a_failed_run_is_named_with_how_to_repeat_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(run: Run) -> Result:
        return Result(run.story, run.seed, {}, ("it rains",), "00000000", 60.0)

    monkeypatch.setattr("netns_lab.model.runner.tell", fails)
    assert main(["model", "churn", "--seeds", "2", "--jobs", "1"]) == 1
    captured = capsys.readouterr()
    assert "churn failed with seed 1: it rains" in captured.err
    assert "again: netns-lab model churn --seed 2 --nodes 24 --trace" in captured.out


def test_after_ctrl_c_what_came_out_is_still_summed_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(runs: list[Run], jobs: int) -> object:
        yield runs[0], Result(runs[0].story, 1, {}, (), "00000000", 60.0)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "tell_all", interrupted)
    assert main(["model", "all", "--seeds", "3", "--json"]) == 130
    captured = capsys.readouterr()
    assert json.loads(captured.out)["stories"]["cold_start"]["runs"] == 1
    assert "stopped after 1 of" in captured.err
