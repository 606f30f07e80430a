"""``netns-lab status``: what the nodes of a lab do, once or as a table that moves."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from netns_lab import programs
from netns_lab.cleanup import LabRecord
from netns_lab.cli.parsers import Commands
from netns_lab.control import labs
from netns_lab.control.client import ask
from netns_lab.control.requests import Info
from netns_lab.mesh import json_object
from netns_lab.namespace import Machine
from netns_lab.programs import own
from re6st_core.errors import RouterError

WATCH_EVERY_S = 2.0
TRANSPORTS = ("wireguard", "openvpn")
_PLAIN_WIDTH = 200
_ANSWER_WITHIN_S = 10.0  # a daemon that is stopped, or hangs, does not answer
_AT_ONCE = 4  # nodes asked at the same time: each is a process


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node in a line."""

    node: str
    underlay: str
    overlay: str | None
    pid: int | None  # of the daemon; None: it does not run
    tunnels: dict[str, int] | None = None  # active ones by transport; None: it does not answer
    median_rtt_ms: float | None = None
    destinations: int | None = None
    rss_mb: float | None = None
    babeld: bool | None = None


def add_parser(commands: Commands) -> None:
    """Add the sub-command."""
    status = commands.add_parser("status", help="the nodes of a lab: tunnels, routes, memory")
    status.add_argument("lab", metavar="LAB", nargs="?", help="label or id (default: the only one)")
    status.add_argument("-w", "--watch", action="store_true", help="again and again, until Ctrl-C")
    status.add_argument("--json", action="store_true", help="one JSON object (a line each time with --watch)")
    status.set_defaults(command=_status)


def _status(arguments: argparse.Namespace) -> int:
    programs.require({"ip": "iproute2"})
    record = labs.find(arguments.lab)
    return asyncio.run(_show(record, watch=arguments.watch, as_json=arguments.json))


async def _show(record: LabRecord, *, watch: bool, as_json: bool) -> int:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PLAIN_WIDTH)  # nobody's screen is too narrow
    if not watch:
        info, states = await collect(record)
        if as_json:
            _print_json(info, states)
        else:
            console.print(_title(info), table(states), soft_wrap=True)
        return 0
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError), contextlib.ExitStack() as stack:
        live = None if as_json else stack.enter_context(Live(console=console, auto_refresh=False))
        while True:
            info, states = await collect(record)
            if live is None:
                _print_json(info, states)
            else:
                live.update(table(states, title=_title(info)), refresh=True)
            await asyncio.sleep(WATCH_EVERY_S)
    return 0


def _print_json(info: dict[str, Any], states: list[NodeState]) -> None:
    print(json.dumps({**info, "nodes": [asdict(state) for state in states]}), flush=True)


async def collect(record: LabRecord) -> tuple[dict[str, Any], list[NodeState]]:
    """What the lab says of itself, and each node as its own ``re6st status`` tells it."""
    info = ask(labs.socket_path(record), Info())
    enough = asyncio.Semaphore(_AT_ONCE)

    async def of(name: str, known: dict[str, Any]) -> NodeState:
        underlay = ", ".join(known["underlay"])
        if known["pid"] is None or name == info["registry"]:
            return NodeState(name, underlay, known["overlay"], known["pid"])
        async with enough:
            told = await _told(labs.machine(record, name))
        return node_state(name, underlay, known, told)

    states = await asyncio.gather(*(of(name, known) for name, known in info.pop("nodes").items()))
    return info, states


async def _told(machine: Machine) -> dict[str, Any] | None:
    """The node's own ``re6st status --json``; None when its daemon does not answer."""
    asking = [*own("re6st"), "--run", str(machine.directory / "run"), "status", "--json"]
    try:
        told = await machine.call(asking, log=Path(os.devnull), timeout_s=_ANSWER_WITHIN_S)
    except RouterError:
        return None
    return json_object(told)


def node_state(name: str, underlay: str, known: dict[str, Any], told: dict[str, Any] | None) -> NodeState:
    """A line from what the lab knows and what the node told."""
    if told is None:
        return NodeState(name, underlay, known["overlay"], known["pid"])
    active = [tunnel for tunnel in told["tunnels"] if tunnel["state"] == "active"]
    times = sorted(tunnel["rtt_ms"] for tunnel in active if tunnel["rtt_ms"] is not None)
    return NodeState(
        name,
        underlay,
        known["overlay"],
        known["pid"],
        tunnels=dict(Counter(tunnel["transport"] for tunnel in active)),
        median_rtt_ms=times[len(times) // 2] if times else None,
        destinations=len({route["destination"] for route in told["routes"] if route["installed"]}),
        rss_mb=round(told["daemon"]["rss_bytes"] / 1e6, 1),
        babeld=told["daemon"]["babeld"],
    )


def _title(info: dict[str, Any]) -> str:
    state = "" if info["internet_alive"] else "; ITS INTERNET IS DEAD: netns-lab down, and up again"
    return f"lab {info['label']} ({info['id']}), {info['internet']}: {info['title']}{state}"


def table(states: list[NodeState], title: str | None = None) -> Table:
    """A row for each node."""
    made = Table(title=title, title_justify="left", box=None)
    for heading in ("node", "underlay", "overlay", "daemon"):
        made.add_column(heading, overflow="fold")
    for heading in (*TRANSPORTS, "RTT", "routes", "MB"):
        made.add_column(heading, justify="right")
    for state in states:
        if state.pid is not None:
            daemon = Text(str(state.pid))
        else:  # it has joined, so it ought to run
            daemon = Text("dead", "bold red") if state.overlay else Text("-")
        if state.babeld is False:
            daemon.append(" no babeld", "bold red")
        made.add_row(
            state.node,
            state.underlay or "-",
            state.overlay or "-",
            daemon,
            *("-" if state.tunnels is None else str(state.tunnels.get(kind, 0)) for kind in TRANSPORTS),
            "-" if state.median_rtt_ms is None else f"{state.median_rtt_ms:.0f} ms",
            "-" if state.destinations is None else str(state.destinations),
            "-" if state.rss_mb is None else f"{state.rss_mb:.0f}",
        )
    return made
