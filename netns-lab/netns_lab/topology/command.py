"""``netns-lab check``: explain what is wrong with topology files, or what they mean.

Exit status 2 if one of them has a mistake.  Nothing is built and no privilege needed.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from netns_lab.cli.parsers import Commands
from netns_lab.topology import Topology, load_topology
from netns_lab.topology.summary import boxes, line, paths, programs, summary
from re6st_core.errors import ConfigError


def add_parser(commands: Commands) -> None:
    """Add the sub-command."""
    check = commands.add_parser("check", help="explain a topology file, or the mistakes in it")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE")
    check.add_argument("--json", action="store_true", help="print one JSON object")
    check.set_defaults(command=_check, unprivileged=True)


def _check(arguments: argparse.Namespace) -> int:
    wrong = False
    answers: list[dict[str, object]] = []
    for path in arguments.files:
        try:
            topology = load_topology(path)
        except ConfigError as exc:
            wrong = True
            answers.append({"file": str(path), "mistakes": list(exc.problems)})
            for problem in exc.problems if not arguments.json else ():
                print(f"netns-lab: {problem}", file=sys.stderr)
            continue
        answers.append({"file": str(path), "mistakes": [], **summary(topology)})
        if not arguments.json:
            print(*explanation(topology, path), sep="\n")
    if arguments.json:
        print(json.dumps({"files": answers}))
    return 2 if wrong else 0


def explanation(topology: Topology, path: Path) -> Iterator[str]:
    """What a topology means: lines for the whole, each site, and each node that is not all of a site."""
    sites, nodes = len(topology.sites), len(topology.nodes)
    registry = f"registry on {topology.registry}" if topology.registry else "no registry"
    yield f"{path}: {topology.title}"
    yield f"  {_count(sites, 'site')}, {_count(nodes, 'node')}, {registry}; {_paths(topology)}"
    for site in topology.sites:
        alone = site.nodes == (site.name,)
        what = [site.city or "", "" if site.host is None else f"row {site.host}", *boxes(site), *line(site)]
        if alone:
            what += programs(topology.node(site.name))
        yield _row(f"  {site.name}", (site.address, site.address6), what)
        for name in site.nodes if site.lan or site.lan6 or not alone else ():
            own = (topology.address_of(name), topology.address6_of(name))
            yield _row(f"    {name}", own, [] if alone else programs(topology.node(name)))


def _row(name: str, addresses: Iterable[object], what: Iterable[str]) -> str:
    known = ", ".join(str(address) for address in addresses if address)
    return f"{name:22}  {known or '-':32}  {'; '.join(filter(None, what))}".rstrip()


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _paths(topology: Topology) -> str:
    links = [link for row in paths(topology) for link in row]
    if not links:
        return "no path between sites"
    rtts = sorted(
        topology.direct_rtt_ms(a.name, b.name)
        for i, a in enumerate(topology.sites)
        for b in topology.sites[:i]
        if not (a.offline or b.offline)
    )
    middle = (rtts[(len(rtts) - 1) // 2] + rtts[len(rtts) // 2]) / 2
    text = f"{_count(len(rtts), 'pair')}, {rtts[0]:.4g} to {rtts[-1]:.4g} ms, median {middle:.4g} ms"
    if jitter := max(link.jitter_ms for link in links):
        text += f"; jitter up to {jitter:g} ms"
    if loss := max(link.loss for link in links):
        text += f"; loss up to {100 * loss:.3g} %"
    return text
