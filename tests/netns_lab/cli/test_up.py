"""A lab that stays: up, twice, wrongly, interrupted, killed; and nothing of it is left."""

import json
import os
import re
import secrets
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from netns_lab import cleanup
from netns_lab.cleanup import LabRecord
from netns_lab.namespace import NETNS_DIR
from netns_lab.programs import own_environment
from tests.helpers.lab_command import ARGV, TWO, netns_lab

pytestmark = pytest.mark.root


@pytest.fixture
def two_file(tmp_path: Path) -> Path:
    file = tmp_path / "two.toml"
    file.write_text(TWO)
    return file


@pytest.fixture
def label() -> Iterator[str]:
    """A label that no other lab has; nothing of such labs may remain."""
    name = f"up-{secrets.token_hex(3)}"
    yield name
    left = [record for record in cleanup.records() if record.label == name]
    for record in left:
        if record.alive:
            os.kill(record.owner_pid, signal.SIGKILL)
    assert not left


def lab(label: str) -> LabRecord:
    (found,) = (record for record in cleanup.records() if record.label == label)
    return found


def traces(record: LabRecord) -> list[Path]:
    """What could be left of a lab."""
    assert record.directory is not None
    places = [record.directory, *cleanup.RUN_DIR.glob(f"*{record.lab_id}*")]
    return [*NETNS_DIR.glob(record.namespace("*")), *(place for place in places if place.exists())]


def test_a_lab_is_up_after_the_command_has_ended_and_gone_after_down(two_file: Path, label: str) -> None:
    up = netns_lab("up", two_file, "--bare", "--name", label, "--json")
    assert up.returncode == 0, up.stderr
    record = lab(label)
    assert json.loads(up.stdout) == {
        "id": record.lab_id,
        "label": label,
        "directory": str(record.directory),
        "missing": [],
    }
    assert record.alive
    assert traces(record)
    down = netns_lab("down", record.lab_id)
    assert down.returncode == 0
    assert not traces(record)
    again = netns_lab("down", label)
    assert again.returncode == 2
    assert f"no lab '{label}' is up" in again.stderr


def test_two_labs_of_one_topology_do_not_meet_and_a_label_is_given_once(two_file: Path, label: str) -> None:
    other = f"{label}-2"
    assert netns_lab("up", two_file, "--bare", "--name", label).returncode == 0
    same = netns_lab("up", two_file, "--bare", "--name", label)
    assert same.returncode == 2
    assert f"a lab '{label}' is up already" in same.stderr
    assert netns_lab("up", two_file, "--bare", "--name", other).returncode == 0
    assert netns_lab("cut", "--lab", label, "a", "b").returncode == 0
    argv = ("203.0.113.2", "-c", 2, "-i", 0.1)
    assert netns_lab("ping", f"{label}:a", *argv).returncode == 1
    assert netns_lab("ping", f"{other}:a", *argv).returncode == 0
    assert netns_lab("down", label).returncode == 0
    assert netns_lab("ping", f"{other}:a", *argv).returncode == 0
    assert netns_lab("down", other).returncode == 0


def test_a_killed_owner_is_cleaned_up_after_by_the_next_command(two_file: Path, label: str) -> None:
    assert netns_lab("up", two_file, "--bare", "--name", label).returncode == 0
    record = lab(label)
    os.kill(record.owner_pid, signal.SIGKILL)
    assert netns_lab("clean").returncode == 0
    assert not traces(record)


def test_a_killed_switch_is_told_and_the_lab_can_be_removed(two_file: Path, label: str) -> None:
    assert netns_lab("up", two_file, "--bare", "--name", label).returncode == 0
    record = lab(label)
    inside = subprocess.run(
        ["ip", "netns", "pids", record.namespace("internet")], capture_output=True, text=True, check=True
    )
    for pid in inside.stdout.split():
        os.kill(int(pid), signal.SIGKILL)
    assert netns_lab("cut", "--lab", label, "a", "b").returncode == 1
    status = netns_lab("status", label)
    assert "ITS INTERNET IS DEAD" in status.stdout
    assert netns_lab("down", label).returncode == 0
    assert not traces(record)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_command_that_is_ended_while_it_builds_takes_the_lab_along(
    two_file: Path, label: str, number: signal.Signals
) -> None:
    two_file.write_text(f'registry = "a"\n{TWO}')  # programs take longer than machines: it comes in time
    with subprocess.Popen(
        [*ARGV, "up", str(two_file), "--name", label],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=own_environment(),
    ) as up:
        record = wait_for_record(label)
        up.send_signal(number)
        up.communicate(timeout=30)
    if number is signal.SIGKILL:
        owner = os.pidfd_open(record.owner_pid) if record.alive else None
        if owner is not None:
            assert select.select([owner], [], [], 30)[0]
            os.close(owner)
    else:
        assert up.returncode == 130
    assert not record.alive
    assert not traces(record)


def wait_for_record(label: str) -> LabRecord:
    """The lab that is about to be on record; the directory of records says when it changes."""
    cleanup.RUN_DIR.mkdir(exist_ok=True)
    while True:
        for record in cleanup.records():
            if record.label == label:
                return record


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent.toml"], "absent.toml: No such file"),
        (["nothing"], "no topology of the lab; those are: "),
    ],
)
def test_a_topology_that_does_not_exist_is_refused(arguments: list[str], said: str) -> None:
    done = netns_lab("up", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_without_a_registry_only_machines_can_be_had(two_file: Path, label: str) -> None:
    done = netns_lab("up", two_file, "--name", label)
    assert done.returncode == 2
    assert "no node hosts the registry" in done.stderr
    assert "--bare" in done.stderr


def test_what_keeps_a_mesh_from_forming_is_said_and_its_log_is_left(two_file: Path, label: str) -> None:
    third = '[[site]]\nname = "c"\naddress = "203.0.113.3"\n[node.b]\noptions = ["--no-such"]\n'
    two_file.write_text('registry = "a"\n' + TWO.replace("[delays]", f"{third}[delays]"))
    done = netns_lab("up", two_file, "--name", label)
    assert done.returncode == 2
    said = re.search(r"the daemon of b ended: .*--no-such.* \(see (.*)/logs/b\.log\)", done.stderr)
    assert said, done.stderr
    assert "--no-such" in Path(said[1], "logs", "b.log").read_text()
    shutil.rmtree(said[1])


def test_a_folder_that_is_in_use_is_refused(two_file: Path, label: str, tmp_path: Path) -> None:
    done = netns_lab("up", two_file, "--bare", "--name", label, "--keep", tmp_path)
    assert done.returncode == 2
    assert "not an empty directory" in done.stderr
