"""Put the paths between sites together: delays, what both access lines add, ``[[link]]``.  Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from netns_lab.internet.link import Link
from netns_lab.topology.form import Table, did_you_mean
from netns_lab.topology.matrix_file import RTT_MAX_MS
from netns_lab.topology.model import MTU_MAX, Site
from netns_lab.topology.sites import JITTER_MAX_MS, MTU_MIN, RATE_MAX_MBIT, RATE_MIN_MBIT

LINK_KEYS = ("from", "to", "one_way", "rtt_ms", "jitter_ms", "loss", "rate_mbit", "mtu", "reorder")

Links = tuple[tuple[Link, ...], ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What a ``[[link]]`` says of one direction; None: as without it."""

    delay_ms: float | None
    jitter_ms: float | None
    loss: float | None
    rate_mbit: float | None
    mtu: int | None
    reorder: bool

    def over(self, link: Link) -> Link:
        """The link with the change made."""
        return Link(
            delay_ms=link.delay_ms if self.delay_ms is None else self.delay_ms,
            jitter_ms=link.jitter_ms if self.jitter_ms is None else self.jitter_ms,
            loss=link.loss if self.loss is None else self.loss,
            rate_mbit=self.rate_mbit,
            mtu=self.mtu or link.mtu,
            reorder=self.reorder,
        )


def links_between(sites: Sequence[Site], rtt_ms: Sequence[Sequence[float]]) -> Links:
    """Every path, from row to column: half of the round-trip time each way, and what both lines add.

    The rate of a line is not in here: it is shared by all paths of its site.
    """
    return tuple(
        tuple(
            Link()
            if a is b
            else Link(
                delay_ms=rtt_ms[i][k] / 2,
                jitter_ms=a.jitter_ms + b.jitter_ms,
                loss=1 - (1 - a.loss) * (1 - b.loss),
                mtu=min(a.mtu, b.mtu),
            )
            for k, b in enumerate(sites)
        )
        for i, a in enumerate(sites)
    )


def read_changes(document: Table, sites: Sequence[Site]) -> dict[tuple[int, int], Change]:
    """The ``[[link]]`` tables, by the numbers of the sites, each direction for itself."""
    numbers = {site.name: i for i, site in enumerate(sites)}
    changes: dict[tuple[int, int], Change] = {}
    for table in document.tables("link"):
        ends = [table.values.get(key) for key in ("from", "to")]
        named = Table(table.mistakes, table.values, table.path, f"link {ends[0]} - {ends[1]}")
        named.only(LINK_KEYS)
        a, b = (_end(named, key, sites, numbers) for key in ("from", "to"))
        one_way = named.flag("one_way")
        change = _change(named)
        if a is None or b is None:
            continue
        if a == b:
            named.wrong("to", "a site has no link to itself")
            continue
        for direction in [(a, b)] if one_way else [(a, b), (b, a)]:
            if direction in changes:
                named.wrong(None, f"from {sites[direction[0]].name} to {sites[direction[1]].name} again")
            changes.setdefault(direction, change)
    return changes


def changed(links: Links, changes: dict[tuple[int, int], Change]) -> Links:
    """The links with all changes made."""
    return tuple(
        tuple(changes[i, k].over(link) if (i, k) in changes else link for k, link in enumerate(row))
        for i, row in enumerate(links)
    )


def _end(table: Table, key: str, sites: Sequence[Site], numbers: dict[str, int]) -> int | None:
    name = table.text(key)
    if name is None:
        if key not in table.values:
            table.wrong(None, f"`{key}` is needed: the name of a site")
        return None
    if name not in numbers:
        inside = next((site.name for site in sites if name in site.nodes), None)
        hint = f", its node {name} is in site {inside!r}" if inside else did_you_mean(name, numbers)
        table.wrong(key, f"there is no site {name!r}{hint}")
        return None
    if sites[numbers[name]].offline:
        table.wrong(key, f"site {name} is offline: nothing leads there")
        return None
    return numbers[name]


def _change(table: Table) -> Change:
    rtt = table.number("rtt_ms", 0, RTT_MAX_MS, "ms")
    return Change(
        delay_ms=None if rtt is None else rtt / 2,
        jitter_ms=table.number("jitter_ms", 0, JITTER_MAX_MS, "ms"),
        loss=table.number("loss", 0, 1),
        rate_mbit=table.number("rate_mbit", RATE_MIN_MBIT, RATE_MAX_MBIT),
        mtu=table.integer("mtu", MTU_MIN, MTU_MAX),
        reorder=table.flag("reorder"),
    )
