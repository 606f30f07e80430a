"""``netns-lab cut``, ``heal``, ``silence``, ``link``, ``stop`` and others: change a lab while it runs."""

import argparse
import math

from netns_lab.cli.parsers import Commands
from netns_lab.control import labs
from netns_lab.control.client import ask
from netns_lab.control.requests import Cut, Heal, Request, Revive, SetLink, Silence, Start, Stop


def add_parser(commands: Commands) -> None:
    """Add the sub-commands."""
    _pair(commands, "cut", "let nothing pass between two nodes or sites", Cut)
    _pair(commands, "heal", "undo a cut", Heal)
    _one(commands, "silence", "drop all to and from a node while its link stays up", Silence)
    _one(commands, "revive", "undo a silence", Revive)
    _one(commands, "start", "start the daemon of a node", Start)
    stop = _one(commands, "stop", "end the daemon of a node", Stop)
    stop.add_argument("--kill", action="store_true", help="with SIGKILL instead of SIGTERM")
    stop.set_defaults(ask=lambda arguments: Stop(arguments.node, kill=arguments.kill))
    link = _pair(commands, "link", "change the path between two nodes or sites", Cut)
    for name, kind, help_ in (
        ("rtt-ms", _number, "round-trip time"),
        ("jitter-ms", _number, "added to each packet's delay, from 0 to this"),
        ("loss", _number, "probability, 0 to 1"),
        ("rate-mbit", _number, "packets queue behind each other at this rate"),
        ("mtu", int, "larger packets vanish"),
    ):
        link.add_argument(f"--{name}", metavar="N", type=kind, help=help_)
    link.add_argument("--reorder", action=argparse.BooleanOptionalAction, help="jitter may reorder packets")
    link.add_argument("--one-way", action="store_true", help="only from A to B")
    link.set_defaults(ask=_set_link)


def _number(text: str) -> float:
    """A number; ``nan`` and ``inf`` are none that a path could have."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _set_link(arguments: argparse.Namespace) -> Request:
    return SetLink(
        arguments.a,
        arguments.b,
        rtt_ms=arguments.rtt_ms,
        jitter_ms=arguments.jitter_ms,
        loss=arguments.loss,
        rate_mbit=arguments.rate_mbit,
        mtu=arguments.mtu,
        reorder=arguments.reorder,
        one_way=arguments.one_way,
    )


def _pair(commands: Commands, name: str, help_: str, kind: type[Cut | Heal]) -> argparse.ArgumentParser:
    parser = _steering(commands, name, help_)
    parser.add_argument("a", metavar="A")
    parser.add_argument("b", metavar="B")
    parser.set_defaults(ask=lambda arguments: kind(arguments.a, arguments.b))
    return parser


def _one(
    commands: Commands, name: str, help_: str, kind: type[Silence | Revive | Start | Stop]
) -> argparse.ArgumentParser:
    parser = _steering(commands, name, help_)
    parser.add_argument("node", metavar="NODE")
    parser.set_defaults(ask=lambda arguments: kind(arguments.node))
    return parser


def _steering(commands: Commands, name: str, help_: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help_)
    parser.add_argument("--lab", metavar="LAB", help="label or id (default: the only one)")
    parser.set_defaults(command=_steer)
    return parser


def _steer(arguments: argparse.Namespace) -> int:
    answer = ask(labs.socket_path(labs.find(arguments.lab)), arguments.ask(arguments))
    if answer:
        print(", ".join(f"{name} {'-' if value is None else value}" for name, value in answer.items()))
    return 0
