"""``netns-lab up`` and ``down``: a lab that stays, in a process of its own."""

import argparse
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console

from netns_lab import cleanup, programs, rootless
from netns_lab.cleanup import LabRecord
from netns_lab.cli.parsers import Commands, add_internet
from netns_lab.control import labs
from netns_lab.lab import packages
from netns_lab.stage.story import Story
from netns_lab.topology import TOPOLOGIES, load_topology
from re6st_core.errors import ConfigError, RouterError

_DOWN_WITHIN_S = 30.0
_SHOWN = 8  # of the pairs that do not reach each other


def add_parser(commands: Commands) -> None:
    """Add the sub-commands."""
    up = commands.add_parser("up", help="build a lab that stays, with a registry and nodes that run")
    up.add_argument("topology", metavar="FILE|NAME", help="a topology file, or one that comes with the lab")
    up.add_argument("--bare", action="store_true", help="machines and their Internet only, no programs")
    up.add_argument("--name", metavar="LABEL", help="what to call it (default: the topology's name)")
    up.add_argument("--keep", type=Path, metavar="DIR", help="put all files of the lab there and leave them")
    add_internet(up)
    up.add_argument("--json", action="store_true", help="say what is up as one JSON object")
    up.set_defaults(command=_up)
    down = commands.add_parser("down", help="remove a lab, or end a scenario that runs")
    down.add_argument("lab", metavar="LAB", nargs="?", help="label or id (default: the only one)")
    down.add_argument("--all", action="store_true", help="every lab")
    down.set_defaults(command=_down)


def topology_file(name: str) -> Path:
    """The file of a topology, given its path or the name of one that comes with the lab."""
    path = Path(name)
    if path.suffix == ".toml" or path.exists():
        return path
    known = sorted(file.stem for file in TOPOLOGIES.glob("*.toml"))
    if name not in known:
        raise ConfigError(f"{name}: no such file, and no topology of the lab; those are: {', '.join(known)}")
    return TOPOLOGIES / f"{name}.toml"


def _up(arguments: argparse.Namespace) -> int:
    path = topology_file(arguments.topology)
    topology = load_topology(path)
    label = arguments.name or topology.name
    programs.require(packages(topology) | ({} if arguments.bare else programs.MESH_PACKAGES))
    reading, writing = os.pipe()
    command = [sys.executable, "-P", "-m", "netns_lab.control.owner", "--topology", str(path.resolve())]
    command += ["--label", label, "--tell", str(writing)]
    command += ["--internet", arguments.internet] if arguments.internet else []
    command += ["--bare"] if arguments.bare else []
    command += ["--keep", str(arguments.keep.resolve())] if arguments.keep else []
    owner = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[writing, *rootless.held_lock()],
        env=programs.own_environment(),
        start_new_session=True,
    )
    os.close(writing)
    story = Story(label, Console(stderr=True))
    try:
        with os.fdopen(reading) as told, _signals_interrupt():
            up = _follow(told, story, label)
    except BaseException:
        owner.terminate()
        owner.wait()
        raise
    print(json.dumps(up) if arguments.json else _welcome(up, bare=arguments.bare))
    return 0


def _follow(told: TextIO, story: Story, label: str) -> dict[str, Any]:
    """Show what the owner tells until the lab is up; returns what is up."""
    with story.step(f"bringing up {label}") as step:
        for line in told:
            said = json.loads(line)
            if "error" in said:
                raise ConfigError(*said["error"])
            if "up" in said:
                return dict(said["up"])
            step.progress(said["progress"])
    raise RouterError("the process that owns the lab ended before the lab was up")


def _welcome(up: dict[str, Any], *, bare: bool) -> str:
    label = up["label"]
    commands = [
        (f"netns-lab shell {label}:MACHINE", "a shell on one of its machines"),
        (f"netns-lab down {label}", "remove it"),
    ]
    if not bare:
        commands.insert(0, (f"netns-lab exec {label}:NODE -- re6st status", "what a node says"))
        commands.insert(0, (f"netns-lab status {label}", "what all nodes do"))
    lines = [f"lab {label} ({up['id']}) is up; its files and logs: {up['directory']}"]
    if missing := [f"{a}-{b}" for a, b in up["missing"]]:
        lines.append(f"  {len(missing)} pairs do not reach each other: {', '.join(missing[:_SHOWN])}")
    return "\n".join([*lines, *(f"  {command:45} {what}" for command, what in commands)])


@contextlib.contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end the command as Ctrl-C does."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _down(arguments: argparse.Namespace) -> int:
    programs.require({"ip": "iproute2"})
    if arguments.all and arguments.lab:
        raise ConfigError("either LAB or --all")
    for record in labs.running() if arguments.all else [labs.find(arguments.lab)]:
        end(record)
        print(f"lab {record.label} ({record.lab_id}) is down")
    cleanup.clean_dead()
    return 0


def end(record: LabRecord) -> None:
    """End the process that owns a lab, and it removes the lab; kill it if it does not end."""
    try:
        owner = os.pidfd_open(record.owner_pid)
    except ProcessLookupError:
        return
    try:
        if not record.alive:  # only now it is certain that the descriptor is the owner's
            return
        waiting = select.poll()
        waiting.register(owner, select.POLLIN)
        signal.pidfd_send_signal(owner, signal.SIGTERM)
        if not waiting.poll(_DOWN_WITHIN_S * 1000):
            print(f"netns-lab: lab {record.label} does not end; killed", file=sys.stderr)
            signal.pidfd_send_signal(owner, signal.SIGKILL)
            waiting.poll()
    finally:
        os.close(owner)
