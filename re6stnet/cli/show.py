"""``re6st``: show and steer what the node on this machine does.  Talks to the daemon's local socket."""

import argparse
import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from re6st_core.errors import ConfigError, PeerError, Re6stError
from re6st_core.json_wire import encode_json
from re6stnet.adapters.status import Status, TunnelStatus, Why, ask_restart, ask_rotation, ask_status, ask_why

DEFAULT_RUN = Path("/run/re6stnet")
MAX_WIDTH = 10_000
RESTART_S, RESTART_AGAIN_S = 60.0, 0.2
"""How long a new daemon may take to answer, and how often it is asked."""


def parser() -> argparse.ArgumentParser:
    """The command line, also read by the test of the man page."""
    top = argparse.ArgumentParser(
        prog="re6st", description="Show what the re6stnet node on this machine does."
    )
    top.add_argument(
        "-r", "--run", metavar="DIR", type=Path, default=DEFAULT_RUN, help="run directory of the daemon"
    )
    commands = top.add_subparsers(dest="command", required=True)
    status = commands.add_parser("status", help="identity, tunnels with their delay, routes")
    why = commands.add_parser("why", help="the way to a destination, its delay, and who answers there")
    why.add_argument("about", metavar="PREFIX|ADDRESS", help="INT/LEN, an overlay address, or a subnet")
    for command in (status, why):
        command.add_argument("--json", action="store_true", help="one JSON object instead of text")
    rotate = commands.add_parser("rotate", help="end the tunnel with a peer, without loss; another follows")
    rotate.add_argument("peer", metavar="PEER", help="prefix of the peer, as status shows it: INT/LEN")
    commands.add_parser(
        "restart", help="replace the daemon by the installed version; tunnels and routes stay"
    )
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if it worked, 1 if the daemon does not answer, or not what was asked."""
    options = parser().parse_args(argv)
    path = options.run / "re6stnet.sock"
    told: Status | Why
    try:
        if options.command == "rotate":
            print(_harmless(asyncio.run(ask_rotation(path, options.peer))))
            return 0
        if options.command == "restart":
            print(_harmless(asyncio.run(_restart(path))))
            return 0
        if options.command == "status":
            told = asyncio.run(ask_status(path))
        else:
            told = asyncio.run(ask_why(path, options.about))
    except Re6stError as exc:
        print(f"re6st: {_harmless(str(exc))}", file=sys.stderr)
        return 1
    try:
        if options.json:
            print(json.dumps(json.loads(encode_json(told))))  # ASCII only: harmless in a terminal too
        elif isinstance(told, Status):
            _show(told)
        else:
            for line in _why_lines(told):
                print(_harmless(line))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough; nothing may fail again when Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


async def _restart(path: Path) -> str:
    """Returns what to say when the new daemon answers.  Raises ConfigError, PeerError."""
    said = await ask_restart(path)
    print(_harmless(said), flush=True)
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < RESTART_S:
        await asyncio.sleep(RESTART_AGAIN_S)
        with contextlib.suppress(ConfigError, PeerError):  # it does not listen yet
            status = await ask_status(path)
            if status.daemon.uptime_s < loop.time() - began:
                return f"re6stnet {status.daemon.version} answers, with {len(status.tunnels)} tunnels"
    raise PeerError(f"the new daemon does not answer within {RESTART_S:g} s: see its log")


def _show(status: Status) -> None:
    from rich.console import Console  # noqa: PLC0415 - a quarter of the start-up time, and --json needs none of it
    from rich.table import Column, Table  # noqa: PLC0415 - the same
    from rich.text import Text  # noqa: PLC0415 - the same

    def table(headings: str, rows: Iterable[Sequence[str]]) -> Table:
        made = Table(*(Column(heading, overflow="fold") for heading in headings.split(", ")), box=None)
        for row in rows:
            made.add_row(*(Text(_harmless(cell)) for cell in row))
        return made

    def say(line: str) -> None:
        console.print(Text(_harmless(line)), soft_wrap=True)

    # A terminal folds what is too wide; for a program each row is a line, however long.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else MAX_WIDTH)
    with console.capture() as page:
        who, daemon = status.identity, status.daemon
        until = who.expires[:10]
        say(f"node {who.cn}   address {who.address}   subnet {who.subnet}   certificate until {until}")
        for warning in status.membership.warnings:
            say(f"WARNING: {warning}")
        state = "down" if not daemon.babeld else "up"
        registry = f"not answering ({daemon.registry_error})" if daemon.registry_error else "answers"
        say(
            f"daemon pid {daemon.pid}, {daemon.rss_bytes / 1e6:.0f} MB, up {_age(daemon.uptime_s)}; "
            f"babeld {state}; registry {daemon.registry} {registry}{', relay open' if daemon.relay else ''}"
        )
        say(f"reachable at {', '.join(daemon.endpoints) or 'no address of its own (behind a NAT)'}")
        console.print()
        tunnels = sorted(status.tunnels, key=lambda t: (_rtt_ms(t) is None, _rtt_ms(t) or 0))
        headings = "peer, transport, state, role, RTT, loss, up for, carries, device, endpoint"
        console.print(table(headings, map(_tunnel_cells, tunnels)))
        installed = sorted((r for r in status.routes if r.installed), key=lambda r: r.metric)
        console.print()
        say(f"{len(installed)} destinations, {len(status.routes)} routes")
        cells = ((r.destination, r.peer, r.device, str(r.metric)) for r in installed)
        console.print(table("destination, through peer, device, metric", cells))
    print(page.get(), end="")


def _rtt_ms(t: TunnelStatus) -> float | None:
    """Of the probes: Babel's is smoothed over a minute."""
    return t.rtt_ms if t.probe_rtt_ms is None else t.probe_rtt_ms


def _why_lines(why: Why) -> Iterator[str]:
    yield f"{why.destination} is node {why.prefix}, address {why.address}"
    for route in why.routes:
        kind = "in use" if route.installed else "spare"
        yield f"  {kind}: through {route.peer or 'a LAN'} on {route.device}, metric {route.metric}"
    if why.rtt_ms is not None:
        yield f"  RTT {why.rtt_ms:.1f} ms"
    if why.proven:
        yield f"  {why.answered_by} answers: proven by its certificate"
    elif why.answered_by:
        yield f"  WARNING: {why.answered_by} answers, by its certificate, not {why.prefix}"
    else:
        yield f"  nobody is proven to answer: {why.reason}"


def _tunnel_cells(t: TunnelStatus) -> tuple[str, ...]:
    rtt_ms = _rtt_ms(t)
    rtt = "-" if rtt_ms is None else f"{rtt_ms:.1f} ms"
    age = "-" if t.since_s is None else _age(t.since_s)
    loss = "-" if t.loss is None else f"{t.loss:.0%}"
    return t.peer, t.transport, t.state, t.role, rtt, loss, age, str(t.destinations), t.device, t.endpoint


def _harmless(text: str) -> str:
    """Without what a terminal would obey: peers and the registry choose some of these texts."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _age(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


if __name__ == "__main__":
    sys.exit(main())
