"""Read ``[delays]``: the round-trip time between any two sites, from one of four sources.

    rtt_ms   in the file itself, a row and a column per site
    matrix   a matrix file; `host` of each site names its row
    cities   by the cities of the sites, on the globe
    all_ms   every pair alike

Sites that are offline have no row.  Pure but for the matrix file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from netns_lab.topology.cities import CITIES, rtt_ms
from netns_lab.topology.form import Table, did_you_mean
from netns_lab.topology.matrix_file import RTT_MAX_MS, select_rtt_ms
from netns_lab.topology.sites import Draft
from re6st_core.errors import ConfigError

SOURCES = ("rtt_ms", "matrix", "cities", "all_ms")

Rows = list[list[float]]


class Place(NamedTuple):
    """A site, and the number of its port."""

    number: int
    draft: Draft


def read_delays(document: Table, drafts: Sequence[Draft], folder: Path) -> Rows:
    """A row and a column per site, those offline included (0 ms); of no meaning when a mistake was noted.

    ``folder`` is where the path of a matrix file starts.
    """
    online = [Place(i, draft) for i, draft in enumerate(drafts) if not draft.site.offline]
    source = _source(document, len(online))
    _only_where_used("host", source, "matrix", drafts)
    _only_where_used("city", source, "cities", drafts)
    rows: Rows = []
    if source is not None:
        table = Table(document.mistakes, document.values["delays"], ("delays",), "delays")
        match source:
            case "rtt_ms":
                rows = _stated(table, online)
            case "matrix":
                rows = _of_file(table, online, folder)
            case "cities":
                rows = _of_cities(table, online)
            case "all_ms":
                every_ms = table.number("all_ms", 0, RTT_MAX_MS, "ms") or 0.0
                rows = [[every_ms * (a is not b) for b in online] for a in online]
    if len(rows) != len(online):
        rows = [[0.0] * len(online) for _ in online]
    return _with_offline(rows, [place.number for place in online], len(drafts))


def _source(document: Table, online: int) -> str | None:
    """Which of SOURCES is given; more or less than one is a mistake, but one site has no delays."""
    table = document.table("delays", "delays")
    if table is None:
        if online > 1 and "delays" not in document.values:
            document.wrong("delays", f"a [delays] table is needed, with one of {', '.join(SOURCES)}")
        return None
    table.only(SOURCES)
    given = [key for key in SOURCES if key in table.values]
    if len(given) != 1:
        table.wrong(None, f"exactly one of {', '.join(SOURCES)} is needed, not {', '.join(given) or 'none'}")
        return None
    return given[0]


def _only_where_used(key: str, source: str | None, wanted: str, drafts: Sequence[Draft]) -> None:
    for draft in drafts if source != wanted else ():
        if key in draft.table.values and not draft.site.offline:
            draft.table.wrong(key, f"only with delays by {wanted}")


def _stated(table: Table, online: list[Place]) -> Rows:
    rows = table.items("rtt_ms") or []
    names = [place.draft.site.name for place in online]
    if len(rows) != len(names):
        table.wrong("rtt_ms", f"{len(rows)} rows for {len(names)} sites")
    read: Rows = []
    for i, row in enumerate(rows):
        name = names[i] if i < len(names) else str(i + 1)
        inner = Table(table.mistakes, {"rtt_ms": row}, table.path, f"delays: row {name}")
        if not isinstance(row, list):
            inner.wrong("rtt_ms", f"{row!r} is not a list", i)
            continue
        if len(row) != len(names):
            inner.wrong("rtt_ms", f"{len(row)} values for {len(names)} sites", i)
        values = [inner.as_number("rtt_ms", value, 0, RTT_MAX_MS, "ms", i, k) for k, value in enumerate(row)]
        if i < len(values) and values[i]:
            inner.wrong("rtt_ms", f"a site is 0 ms from itself, not {row[i]}", i, i)
        read.append([value or 0.0 for value in values])
    square = len(read) == len(names) and all(len(row) == len(names) for row in read)
    return read if square else []


def _of_file(table: Table, online: list[Place], folder: Path) -> Rows:
    name = table.text("matrix")
    hosts = [place.draft.site.host for place in online]
    if all(host is None for host in hosts):
        hosts = list(range(len(online)))
    owners: dict[int, str] = {}
    for place, host in zip(online, hosts, strict=True):
        site = place.draft.site.name
        if host is None:
            place.draft.table.wrong(None, "it needs a host, as other sites have one: its row of the matrix")
        elif host in owners:
            place.draft.table.wrong("host", f"{host} is that of site {owners[host]} already")
        else:
            owners[host] = site
    if name is None or len(owners) != len(online):
        return []
    try:
        return select_rtt_ms(folder / name, list(owners))
    except ConfigError as exc:
        for problem in exc.problems:
            table.wrong("matrix", problem)
        return []


def _of_cities(table: Table, online: list[Place]) -> Rows:
    if not table.flag("cities"):
        table.wrong("cities", "must be true, or left out")
    good = True
    for place in online:
        city, site = place.draft.site.city, place.draft.table
        if city is None:
            site.wrong(None, "it needs a city, as the delays are by cities")
        elif city not in CITIES:
            near = did_you_mean(city, CITIES)
            site.wrong("city", f"{city!r} is not known{near or ': there are ' + ', '.join(CITIES)}")
        good = good and city in CITIES
    if not good:
        return []
    cities = [str(place.draft.site.city) for place in online]
    return [[rtt_ms(a, b) * (i != k) for k, b in enumerate(cities)] for i, a in enumerate(cities)]


def _with_offline(rows: Rows, numbers: list[int], sites: int) -> Rows:
    whole = [[0.0] * sites for _ in range(sites)]
    for row, a in zip(rows, numbers, strict=True):
        for rtt, b in zip(row, numbers, strict=True):
            whole[a][b] = rtt
    return whole
