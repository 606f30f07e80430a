"""``netns-lab simulate``: its options, and what it prints."""

import argparse
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from netns_lab.simulate import metric
from netns_lab.simulate.chance import chance
from netns_lab.simulate.connectivity import parse_losses
from netns_lab.simulate.delays import Delays
from netns_lab.simulate.matrix import read_delays
from netns_lab.simulate.plot import as_svg
from netns_lab.simulate.report import as_csv, as_table, report
from netns_lab.simulate.rules import RULES, Limits
from netns_lab.simulate.senses import Noise
from netns_lab.simulate.simulation import Settings, Simulation
from netns_lab.simulate.synthetic import synthetic_world
from re6st_core.errors import ConfigError

METRICS = {found.name: found for found in (metric.OURS, metric.RE6ST)}
ALL_DESTINATIONS, SAMPLED_DESTINATIONS = 1000, 200
"""Up to so many nodes, paths to all are compared; with more nodes, to so many of them."""
QUEUE_US = 50.0
"""Mean of what queues add to a measured RTT; babeld has smoothed it already."""
_LIMITS = {
    "tunnels": (1, 40),
    "accept": (1, 1000),
    "rounds": (1, 10_000),
    "relay_ms": (0, 1000),
    "noise": (0, 50),
    "hosts": (2, 1_000_000),
    "synthetic": (2, 100_000),
    "sample": (1, 100_000),
}


def add_parser(commands: Any) -> None:
    """Add the sub-command to what ``add_subparsers()`` returned."""
    parser = commands.add_parser("simulate", help="run a rule of choosing tunnels on measured delays")
    parser.add_argument("matrix", nargs="?", type=Path, metavar="MATRIX", help="RTT in ms, CSV or CSV.xz")
    parser.add_argument("--slices", type=Path, metavar="FILE", help="time slices: the next one each round")
    parser.add_argument("--synthetic", type=int, metavar="N", help="a world of N nodes, made up")
    parser.add_argument("--hosts", type=int, metavar="N", help="only N of the matrix's hosts")
    parser.add_argument("--rule", choices=sorted(RULES), default="ours")
    parser.add_argument("--metric", choices=sorted(METRICS), help="of tunnels; default: the rule's own")
    parser.add_argument("--tunnels", type=int, default=10, metavar="N", help="that each node opens")
    parser.add_argument("--accept", type=int, default=20, metavar="N", help="that each node accepts")
    parser.add_argument("--rounds", type=int, default=10, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--relay-ms", type=float, default=0.3, metavar="MS", help="RTT that a relay adds")
    parser.add_argument(
        "--noise", type=float, default=1.0, metavar="PERCENT", help="of measured RTT; 0: exact"
    )
    parser.add_argument(
        "--loss", default="random:30,targeted:10", metavar="LIST", help="nodes lost, in per cent"
    )
    parser.add_argument("--sample", type=int, metavar="N", help="destinations to which paths are compared")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a line for each round")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw an SVG")
    parser.set_defaults(command=run, unprivileged=True)


def run(arguments: argparse.Namespace) -> int:
    """Simulate; returns the exit status.  Raises ConfigError."""
    _check(arguments)
    losses = parse_losses(arguments.loss)
    delays = _delays(arguments)
    rule = RULES[arguments.rule]
    most = SAMPLED_DESTINATIONS if delays.nodes > ALL_DESTINATIONS else delays.nodes
    settings = Settings(
        rule_name=arguments.rule,
        rule=rule,
        metric=METRICS[arguments.metric] if arguments.metric else rule.metric,
        limits=Limits(open=arguments.tunnels, accept=arguments.accept),
        rounds=arguments.rounds,
        seed=arguments.seed,
        relay_us=round(arguments.relay_ms * 1000),
        noise=Noise(arguments.noise / 100, QUEUE_US if arguments.noise else 0.0),
        sample=min(arguments.sample or most, delays.nodes),
        losses=losses,
    )
    simulation = Simulation(delays, settings)
    rounds = []
    with _progress(settings.rounds) as advance:
        for one in simulation.run():
            rounds.append(one)
            advance(f"round {one.number} of {settings.rounds}")
    found = report(delays, settings, simulation, rounds)
    for path, text in ((arguments.csv, as_csv), (arguments.plot, as_svg)):
        if path is not None:
            _write(path, text(found))
    if arguments.json:
        print(json.dumps(found, allow_nan=False))
    else:
        Console().print(as_table(found))
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Everything about the options that can be known before a file is read."""
    wrong = []
    sources = [arguments.matrix, arguments.slices, arguments.synthetic]
    if sum(source is not None for source in sources) != 1:
        wrong.append("simulate: exactly one of MATRIX, --slices FILE and --synthetic N is wanted")
    if arguments.hosts is not None and arguments.synthetic is not None:
        wrong.append("--hosts: a synthetic world has just the nodes you ask for")
    for name, (low, high) in _LIMITS.items():
        value = getattr(arguments, name)
        if value is not None and not low <= value <= high:  # a NaN fails both comparisons
            wrong.append(f"--{name.replace('_', '-')}: {value} is outside {low}..{high}")
    for path in (arguments.csv, arguments.plot):
        if path is not None and not path.absolute().parent.is_dir():
            wrong.append(f"{path}: no such folder")
    if wrong:
        raise ConfigError(*wrong)


def _delays(arguments: argparse.Namespace) -> Delays:
    if arguments.synthetic is not None:
        return synthetic_world(arguments.synthetic, arguments.seed)
    delays = read_delays(arguments.slices or arguments.matrix)
    if arguments.slices and len(delays.matrices) < 2:
        raise ConfigError(f"{arguments.slices}: a matrix, or a single slice: give it without --slices")
    hosts = arguments.hosts
    if hosts is None or hosts == delays.nodes:
        return delays
    if hosts > delays.nodes:
        raise ConfigError(f"--hosts: {delays.name} has {delays.nodes} hosts only")
    return delays.only(sorted(chance(arguments.seed, "hosts").sample(range(delays.nodes), hosts)))


@contextlib.contextmanager
def _progress(rounds: int) -> Iterator[Any]:
    """A bar on standard error, if that is a terminal."""
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("first tunnels, best relay paths", total=rounds + 1)
        yield lambda text: progress.update(task, advance=1, description=text)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
