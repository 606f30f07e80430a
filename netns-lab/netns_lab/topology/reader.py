"""Read a topology file: TOML in, a checked :class:`~netns_lab.topology.model.Topology` out.

``topologies/everything.toml`` shows every key.  All mistakes are reported at once, each with its line.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netns_lab.topology import lines
from netns_lab.topology.addresses import give_addresses, read_underlay
from netns_lab.topology.delays import read_delays
from netns_lab.topology.form import Mistakes, Table, did_you_mean
from netns_lab.topology.links import changed, links_between, read_changes
from netns_lab.topology.model import Node, Topology
from netns_lab.topology.sites import read_defaults, read_nodes, read_sites
from re6st_core.errors import ConfigError

TOP_KEYS = ("title", "internet", "internet6", "registry", "defaults", "site", "node", "delays", "link")
_REGISTRY = "registry"
_SIZE_MAX = 1 << 24


def load_topology(path: Path) -> Topology:
    """Read and check a topology file.

    Raises ConfigError with every mistake found, each one starting with the file's name and its line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_SIZE_MAX + 1)
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    if len(data) > _SIZE_MAX:
        raise ConfigError(f"{path}: larger than {_SIZE_MAX >> 20} MiB")
    try:
        text = data.decode()
        document = tomllib.loads(text)
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: not valid TOML: not UTF-8 text") from exc
    except (ValueError, RecursionError) as exc:  # ValueError: also a number of thousands of digits
        raise ConfigError(f"{path}{_line_in(str(exc))}: not valid TOML: {exc}") from exc
    return _topology(document, path.stem, Mistakes(str(path), lines.lines_of(text)), path.parent)


def parse_topology(
    document: Mapping[str, Any], *, name: str, source: str, folder: Path = Path()
) -> Topology:  # Any: what TOML gives
    """Check a decoded document; ConfigError lists every mistake, each prefixed with ``source``.

    A matrix file is looked for in ``folder``.
    """
    return _topology(document, name, Mistakes(source, None), folder)


def _topology(values: Mapping[str, Any], name: str, mistakes: Mistakes, folder: Path) -> Topology:
    document = Table(mistakes, values)
    document.only(TOP_KEYS)
    title = document.text("title") or name
    underlay = read_underlay(document)
    defaults = read_defaults(document)
    drafts = read_sites(document, defaults)
    nodes = read_nodes(document, drafts, defaults)
    registry = _registry(document, nodes)
    sites = give_addresses(drafts, underlay)
    rtt_ms = read_delays(document, drafts, folder)
    changes = read_changes(document, sites)
    if mistakes.found:
        raise ConfigError(*mistakes.texts())
    links = changed(links_between(sites, rtt_ms), changes)
    return Topology(name, title, underlay.internet, underlay.internet6, registry, sites, nodes, links)


def _registry(document: Table, nodes: tuple[Node, ...]) -> str | None:
    names = [node.name for node in nodes]
    registry = document.text("registry")
    if registry is None:
        return _REGISTRY if _REGISTRY in names else None
    if registry not in names:
        document.wrong("registry", f"there is no node {registry!r}{did_you_mean(registry, names)}")
    return registry


def _line_in(message: str) -> str:
    """``:<line>`` of a message of tomllib, which names it in words."""
    number = message.rpartition("(at line ")[2].partition(",")[0]
    return f":{number}" if number.isdigit() else ""
