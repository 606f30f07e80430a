"""``netns-lab list`` and ``clean``: what there is to run, what runs, and what the dead left."""

import argparse
import json

from netns_lab import cleanup, programs
from netns_lab.cli.parsers import Commands
from netns_lab.scenarios import SCENARIOS


def add_parser(commands: Commands) -> None:
    """Add the sub-commands."""
    listing = commands.add_parser("list", help="scenarios, and labs that are up")
    listing.add_argument("--json", action="store_true", help="one JSON object")
    listing.set_defaults(command=_list)
    clean = commands.add_parser("clean", help="remove what labs left whose process was killed")
    clean.set_defaults(command=_clean)


def _list(arguments: argparse.Namespace) -> int:
    if arguments.json:
        print(json.dumps({"scenarios": _scenarios(), "labs": _labs()}))
        return 0
    for name, scenario in SCENARIOS.items():
        print(f"{name:16} {scenario.title}")
    for record in cleanup.records():
        state = f"up, process {record.owner_pid}" if record.alive else "dead; remove it with netns-lab clean"
        print(f"lab {record.lab_id}: {record.label}, {state}")
    return 0


def _scenarios() -> list[dict[str, object]]:
    return [
        {"name": name, "title": scenario.title, "topology": scenario.topology, "expected": scenario.expected}
        for name, scenario in SCENARIOS.items()
    ]


def _labs() -> list[dict[str, object]]:
    return [
        {
            "id": record.lab_id,
            "label": record.label,
            "alive": record.alive,
            "owner_pid": record.owner_pid,
            "directory": str(record.directory),
        }
        for record in cleanup.records()
    ]


def _clean(arguments: argparse.Namespace) -> int:
    programs.require({"ip": "iproute2"})
    for record in cleanup.clean_dead():
        print(f"removed lab {record.lab_id} ({record.label})")
    return 0
