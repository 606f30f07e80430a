"""``netns-lab ping``: echo between two nodes of a lab, over the overlay or the underlay."""

import argparse
import asyncio
import json
import signal
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address

from netns_lab import programs
from netns_lab.cleanup import LabRecord
from netns_lab.cli.parsers import Commands
from netns_lab.control import labs
from netns_lab.control.client import ask
from netns_lab.control.requests import Info
from netns_lab.echo import Address, EchoSocket, Reply
from re6st_core.errors import ConfigError

LAST_REPLY_WITHIN_S = 2.0


@dataclass(slots=True)
class Replies:
    """What came back."""

    sent: int = 0
    rtt_ms: list[float] = field(default_factory=list)
    hops: list[int] = field(default_factory=list)

    def summary(self) -> dict[str, float | int | None]:
        """Counts, and the spread of times in ms."""
        times = self.rtt_ms
        return {
            "sent": self.sent,
            "received": len(times),
            "lost_percent": round(100 * (1 - len(times) / self.sent), 1) if self.sent else None,
            "min_ms": round(min(times), 3) if times else None,
            "median_ms": round(statistics.median(times), 3) if times else None,
            "max_ms": round(max(times), 3) if times else None,
            "hops": self.hops[-1] if times else None,
        }


def add_parser(commands: Commands) -> None:
    """Add the sub-command."""
    ping = commands.add_parser("ping", help="echo between two nodes, over the overlay")
    ping.add_argument("source", metavar="[LAB:]A")
    ping.add_argument("to", metavar="B", help="a node, or any address")
    ping.add_argument("--underlay", action="store_true", help="over the lab's Internet, to B's address there")
    ping.add_argument("-c", "--count", metavar="N", type=int, help="default: until Ctrl-C; 5 with --json")
    ping.add_argument("-i", "--interval", metavar="S", type=float, default=1.0, help="default: 1 s")
    ping.add_argument("--json", action="store_true", help="the summary as one JSON object")
    ping.set_defaults(command=_ping)


def _ping(arguments: argparse.Namespace) -> int:
    programs.require({"ip": "iproute2"})
    if (arguments.count is not None and arguments.count < 1) or not arguments.interval > 0:
        raise ConfigError("--count and --interval must be positive")
    record, source = labs.find_machine(arguments.source)
    target = _target(record, arguments.to, underlay=arguments.underlay)
    count = arguments.count or (5 if arguments.json else None)
    show: Callable[[str], None] = _quiet if arguments.json else _say
    show(f"{source} to {arguments.to} ({target})")
    echo = _echo(record, source, target, count=count, interval_s=arguments.interval, show=show)
    replies = asyncio.run(echo)
    summary = replies.summary()
    if arguments.json:
        print(json.dumps({"from": source, "to": arguments.to, "address": str(target), **summary}))
    else:
        print("{sent} sent, {received} received, {lost_percent} % lost".format(**summary))
        if replies.rtt_ms:
            print("RTT min/median/max {min_ms}/{median_ms}/{max_ms} ms".format(**summary))
    return 0 if replies.rtt_ms else 1


def _say(line: str) -> None:
    print(line, flush=True)


def _quiet(line: str) -> None:
    pass


def _target(record: LabRecord, to: str, *, underlay: bool) -> Address:
    """The address that is meant; ConfigError when there is none."""
    try:
        return ip_address(to)
    except ValueError:
        pass
    if underlay:
        nodes = ask(labs.socket_path(record), Info())["nodes"]
        known = {name: [ip_address(address) for address in node["underlay"]] for name, node in nodes.items()}
    else:
        known = {name: [address] for name, address in labs.overlay_addresses(record).items()}
    if to not in known:
        joined = ", ".join(known) or "none"
        raise ConfigError(f"{to!r} is neither an address nor a node that has joined; those are: {joined}")
    if not known[to]:
        raise ConfigError(f"{to} has no address on the underlay")
    return known[to][0]


async def _echo(
    record: LabRecord,
    source: str,
    target: Address,
    *,
    count: int | None,
    interval_s: float,
    show: Callable[[str], None],
) -> Replies:
    replies, enough = Replies(), asyncio.Event()
    arrived: asyncio.Queue[Reply] = asyncio.Queue()  # not shown from the loop's callback: showing may fail

    def received(reply: Reply) -> None:
        if reply.source != target:
            return
        replies.rtt_ms.append(reply.rtt_ms)
        replies.hops.append(reply.hops)
        arrived.put_nowait(reply)
        if replies.sent == count and len(replies.rtt_ms) >= replies.sent:
            enough.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, enough.set)
    echo = EchoSocket(labs.machine(record, source), target, received)
    try:
        while not enough.is_set() and (count is None or replies.sent < count):
            replies.sent += 1
            echo.send(target)
            last = replies.sent == count
            await _wait(enough, LAST_REPLY_WITHIN_S if last else interval_s)
            if arrived.empty() and not enough.is_set():
                show("  no answer yet")
            while not arrived.empty():
                reply = arrived.get_nowait()
                show(f"{reply.rtt_ms:8.2f} ms  {reply.hops} hop{'s' if reply.hops > 1 else ''}")
    finally:
        echo.close()
    return replies


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
