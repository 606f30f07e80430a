"""``re6st``: show what the node on this machine does.  Talks to the daemon's local socket."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from re6st_core.errors import Re6stError
from re6st_core.json_wire import encode_json
from re6stnet.adapters.status import Status, ask_status

DEFAULT_RUN = Path("/run/re6stnet")


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
    status.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 if it worked, 1 if the daemon does not answer."""
    options = parser().parse_args(argv)
    try:
        status = asyncio.run(ask_status(options.run / "re6stnet.sock"))
    except Re6stError as exc:
        print(f"re6st: {exc}", file=sys.stderr)
        return 1
    if options.json:
        print(encode_json(status).decode())
    else:
        _show(status)
    return 0


def _show(status: Status) -> None:
    from rich.console import Console  # noqa: PLC0415 - a quarter of the start-up time, and --json needs none of it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    who, daemon = status.identity, status.daemon
    console.print(
        f"node {who.cn}   address {who.address}   subnet {who.subnet}   certificate until {who.expires[:10]}"
    )
    state = "down" if not daemon.babeld else "up"
    registry = f"not answering ({daemon.registry_error})" if daemon.registry_error else "answers"
    console.print(
        Text(
            f"daemon pid {daemon.pid}, {daemon.rss_bytes / 1e6:.0f} MB, up {_age(daemon.uptime_s)}; "
            f"babeld {state}; registry {daemon.registry} {registry}{', relay open' if daemon.relay else ''}"
        )
    )
    console.print(f"reachable at {', '.join(daemon.endpoints) or 'no address of its own (behind a NAT)'}\n")
    tunnels = Table(
        "peer", "transport", "state", "role", "RTT", "up for", "carries", "device", "endpoint", box=None
    )
    for t in sorted(status.tunnels, key=lambda t: (t.rtt_ms is None, t.rtt_ms or 0)):
        rtt = "-" if t.rtt_ms is None else f"{t.rtt_ms:.1f} ms"
        age = "-" if t.since_s is None else _age(t.since_s)
        cells = (t.peer, t.transport, t.state, t.role, rtt, age, str(t.destinations), t.device, t.endpoint)
        tunnels.add_row(*map(Text, cells))
    console.print(tunnels)
    installed = [r for r in status.routes if r.installed]
    console.print(f"\n{len(installed)} destinations, {len(status.routes)} routes")
    routes = Table("destination", "through peer", "device", "metric", box=None)
    for r in sorted(installed, key=lambda r: r.metric):
        routes.add_row(*map(Text, (r.destination, r.peer, r.device, str(r.metric))))
    console.print(routes)


def _age(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


if __name__ == "__main__":
    sys.exit(main())
