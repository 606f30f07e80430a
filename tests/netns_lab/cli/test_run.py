"""Playing a scenario: exit statuses, one line per problem, and a Ctrl-C that leaves nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from netns_lab import cleanup
from netns_lab.cli import main
from netns_lab.namespace import NETNS_DIR

STORY = """
import asyncio, sys
sys.path[:0] = {path!r}
from netns_lab import cli
from netns_lab.scenarios import SCENARIOS
from netns_lab.scenarios.scenario import NotYet, Scenario
from re6st_core.errors import RouterError

async def play(stage):
    print(stage.lab.record.lab_id, file=sys.stderr, flush=True)
    stage.figure("answer", 42, at_least={at_least})
    {body}

SCENARIOS.clear()
SCENARIOS["test"] = Scenario("a test", "demo.toml", play, not_yet={not_yet})
sys.exit(cli.main(["run", {name!r}, "--report", {report!r}, *{options!r}]))
"""


NOT_YET = "NotYet({'answer': '42'}, 'nobody has found the question', 4)"


def run_story(
    report: Path,
    *options: str,
    at_least: int = 0,
    body: str = "pass",
    not_yet: str = "None",
    name: str = "test",
) -> subprocess.Popen[str]:
    """`netns-lab run` of a story whose body is given, in a process of its own."""
    program = STORY.format(
        path=sys.path,
        report=str(report),
        options=options,
        at_least=at_least,
        body=body,
        not_yet=not_yet,
        name=name,
    )
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def remove_kept(errors: str) -> Path:
    """Remove what a failed story left to be looked into; returns where it was."""
    kept = Path(errors.partition("logs of the lab: ")[2].split()[0])
    assert (kept / "logs").is_dir()
    shutil.rmtree(kept)
    return kept


def lab_of(process: subprocess.Popen[str]) -> str:
    """The id of the lab that a story says it plays in."""
    assert process.stderr is not None
    for line in process.stderr:
        if len(line.strip()) == 6:
            return line.strip()
    raise AssertionError("the story has not begun")


def test_a_broken_topology_is_refused_with_all_mistakes_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "broken.toml"
    file.write_text('internet = "here"\nspeed = 1\n')
    assert main(["run", "demo", "--topology", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"netns-lab: {file}:") for line in lines)


def test_an_unknown_scenario_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "dream"]) == 2
    assert capsys.readouterr().err.startswith("netns-lab: no scenario 'dream'; there are: demo, ")


def test_not_root_or_programs_missing_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("netns_lab.programs.LAB_PACKAGES", {"no-such-program": "its-package"})
    assert main(["run", "demo", "--exit"]) == 2
    assert "apt-get install -y its-package" in capsys.readouterr().err


def test_what_the_last_of_all_scenarios_lacks_is_known_before_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (tmp_path / "churn").mkdir()
    (tmp_path / "churn" / "mine").touch()
    assert main(["run", "all", "--report", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"netns-lab: {tmp_path / 'churn'}: not an empty directory")
    monkeypatch.setattr("netns_lab.boxes.upnp.PACKAGES", {"no-such-router": "its-package"})
    monkeypatch.setattr("netns_lab.programs.CLOCK_PACKAGES", {"no-such-clock": "another"})
    assert main(["run", "all"]) == 2
    assert "apt-get install -y another its-package" in capsys.readouterr().err


@pytest.mark.root
@pytest.mark.parametrize(("at_least", "status"), [(0, 0), (43, 1)])
def test_the_verdict_is_in_the_json_the_report_and_the_exit_status(
    tmp_path: Path, at_least: int, status: int
) -> None:
    with run_story(tmp_path / "report", "--json", at_least=at_least) as process:
        output, errors = process.communicate(timeout=30)
    report = json.loads(output)
    assert process.returncode == status
    assert report["verdict"] == ("fail" if status else "pass")
    assert report["expected"] == "pass"
    assert report["figures"]["answer"]["value"] == 42
    written = json.loads((tmp_path / "report" / "report.json").read_text())
    assert {name: written[name] for name in report} == report
    assert (tmp_path / "report" / "timeline.svg").exists()
    assert ("logs of the lab" in errors) == bool(status)  # kept when it failed
    if status:
        remove_kept(errors)


@pytest.mark.root
def test_an_expected_failure_is_a_failure_of_the_scenario_and_none_of_the_suite(tmp_path: Path) -> None:
    with run_story(tmp_path / "one", "--json", at_least=43, not_yet=NOT_YET) as process:
        report = json.loads(process.communicate(timeout=30)[0])
    assert process.returncode == 1
    assert (report["verdict"], report["expected"], report["outcome"]) == ("fail", "fail", "as expected")
    assert report["not_yet"]["reached"] == {"answer": "42"}
    with run_story(tmp_path / "all", "--json", at_least=43, not_yet=NOT_YET, name="all") as process:
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(output)["verdict"] == "pass"
    assert json.loads(output)["scenarios"][0]["scenario"] == "test"
    assert "fail (issue 4)" in errors
    assert (tmp_path / "all" / "test" / "report.json").exists()


@pytest.mark.root
def test_an_expected_failure_that_passes_is_said_loudly_and_fails_the_suite(tmp_path: Path) -> None:
    with run_story(tmp_path / "r", "--json", not_yet=NOT_YET, name="all") as process:
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert json.loads(output)["verdict"] == "fail"
    assert "test: PASSES NOW" in errors


@pytest.mark.root
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with run_story(tmp_path / "report", body="await asyncio.Event().wait()") as process:
        lab_id = lab_of(process)
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode == 130
    assert not list(NETNS_DIR.glob(f"nl-{lab_id}-*"))
    assert lab_id not in {record.lab_id for record in cleanup.records()}
    assert not list(tmp_path.iterdir()), "the report of half a story"


@pytest.mark.root
def test_a_story_that_is_told_stays_until_ctrl_c_and_has_its_verdict(tmp_path: Path) -> None:
    with run_story(tmp_path / "report") as process:
        lab_id = lab_of(process)
        assert process.stdout is not None
        assert any("stays up until Ctrl-C" in line for line in process.stdout)
        assert list(NETNS_DIR.glob(f"nl-{lab_id}-*"))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0
    assert not list(NETNS_DIR.glob(f"nl-{lab_id}-*"))
    assert (tmp_path / "report" / "report.json").exists()


@pytest.mark.root
def test_a_story_that_cannot_go_on_fails_in_one_line(tmp_path: Path) -> None:
    with run_story(tmp_path / "report", "--exit", body="raise RouterError('no way')") as process:
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "netns-lab: no way" in errors.splitlines()
    remove_kept(errors)


@pytest.mark.root
@pytest.mark.parametrize("below", ["", "report"])
def test_a_full_disk_in_the_report_folder_is_one_line_and_status_2(tmp_path: Path, below: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", tmp_path], check=True)
    try:
        with run_story(tmp_path / below, "--exit") as process:
            lab_id = lab_of(process)
            _, errors = process.communicate(timeout=30)
        left = list(tmp_path.iterdir())
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert process.returncode == 2
    assert errors.splitlines()[-1].endswith("No space left on device")
    assert not left
    assert not list(NETNS_DIR.glob(f"nl-{lab_id}-*"))
