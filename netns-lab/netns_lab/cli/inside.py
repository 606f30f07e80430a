"""``netns-lab exec``, ``shell`` and ``capture``: commands on a machine of a lab, in place of this process."""

import argparse
import os
from pathlib import Path
from typing import NoReturn

from netns_lab import programs
from netns_lab.cli.parsers import Commands
from netns_lab.control import labs
from re6st_core.errors import ConfigError


def add_parser(commands: Commands) -> None:
    """Add the sub-commands."""
    run = commands.add_parser("exec", help="run a command on a machine of a lab")
    run.add_argument("machine", metavar="[LAB:]MACHINE")
    run.add_argument("argv", metavar="COMMAND", nargs="+", help="after -- if it has options")
    run.set_defaults(command=_exec)
    shell = commands.add_parser("shell", help="a shell on a machine of a lab")
    shell.add_argument("machine", metavar="[LAB:]MACHINE")
    shell.set_defaults(command=_shell)
    capture = commands.add_parser("capture", help="record or show the packets of a machine (tcpdump)")
    capture.add_argument("machine", metavar="[LAB:]MACHINE")
    capture.add_argument("-i", "--interface", metavar="NAME", default="any", help="default: all of them")
    capture.add_argument("-f", "--filter", metavar="EXPRESSION", default="", help="see pcap-filter(7)")
    capture.add_argument("-w", "--write", metavar="FILE", type=Path, help="a pcap file instead of text")
    capture.add_argument("-c", "--count", metavar="N", type=int, help="end after so many packets")
    capture.set_defaults(command=_capture)


def _exec(arguments: argparse.Namespace) -> int:
    _become(arguments.machine, arguments.argv)


def _shell(arguments: argparse.Namespace) -> int:
    _, name = labs.find_machine(arguments.machine)
    os.environ["debian_chroot"] = name  # noqa: SIM112 - it is what the prompt of Debian's bash shows
    _become(arguments.machine, [os.environ.get("SHELL", "/bin/sh")])


def _capture(arguments: argparse.Namespace) -> int:
    programs.require({"tcpdump": "tcpdump"})
    argv = ["tcpdump", "--immediate-mode", "-n", "-i", arguments.interface]
    # Without -Z it would give up root and with that the right to write to most directories.
    argv += ["-Z", "root", "-w", str(arguments.write.resolve())] if arguments.write else ["-l"]
    argv += ["-c", str(arguments.count)] if arguments.count else []
    _become(arguments.machine, [*argv, arguments.filter])


def _become(target: str, argv: list[str]) -> NoReturn:
    """Replace this process by a command on a machine: its status, signals and terminal are the command's."""
    programs.require({"ip": "iproute2", "mount": "mount"})
    record, name = labs.find_machine(target)
    command = labs.machine(record, name).command(argv)
    environment = programs.own_environment()
    # Our own commands are found although they may not be installed.
    environment["PATH"] = os.pathsep.join([programs.own_directory(), environment.get("PATH", os.defpath)])
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - an argument list, no shell
    except OSError as exc:
        raise ConfigError(f"{command[0]}: {exc.strerror}") from exc
