"""``netns-lab model`` on the command line."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netns_lab.cli import main
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
    def tell(run: Run) -> Result:
        signal.raise_signal(signal.SIGINT)
        return Result(run.story, run.seed, {}, (), "00000000", 60.0)

    monkeypatch.setattr("netns_lab.model.runner.tell", tell)
    assert main(["model", "all", "--seeds", "3", "--jobs", "1", "--json"]) == 130
    captured = capsys.readouterr()
    assert json.loads(captured.out)["stories"]["cold_start"]["runs"] == 1
    assert "stopped after 1 of" in captured.err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


ENDLESS = ["-c", "import sys; from netns_lab.cli import main; sys.exit(main())"]
ENDLESS += ["model", "cold_start", "--seeds", "100000", "--nodes", "8", "--jobs", "2", "--json"]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


@pytest.fixture
def endless() -> Iterator[tuple[subprocess.Popen[bytes], list[str]]]:
    """The command with much to do, and the processes that do it."""
    with subprocess.Popen(
        [sys.executable, *ENDLESS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0
    ) as process:
        try:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            wait_until(lambda: len(children.read_text().split()) == 2)
            yield process, children.read_text().split()
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_a_summary_and_no_process_is_left(
    endless: tuple[subprocess.Popen[bytes], list[str]], number: signal.Signals
) -> None:
    process, workers = endless
    os.killpg(process.pid, number)  # as a terminal does, and timeout(1)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err.decode()
    assert json.loads(out)["verdict"] == "pass"
    assert not any(_works(worker) for worker in workers)


def test_a_killed_worker_is_said_and_ends_it(endless: tuple[subprocess.Popen[bytes], list[str]]) -> None:
    process, workers = endless
    os.kill(int(workers[0]), signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "a process of the model was killed" in err.decode()
    assert "Traceback" not in err.decode()


def test_its_processes_end_when_it_is_killed(
    endless: tuple[subprocess.Popen[bytes], list[str]],
) -> None:
    process, workers = endless
    process.kill()
    wait_until(lambda: not any(_works(worker) for worker in workers))


def _works(pid: str) -> bool:
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
