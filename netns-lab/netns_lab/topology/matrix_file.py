"""A matrix of round-trip times in a file: CSV, optionally compressed with xz, a line per host.

Only the rows and columns that are asked for are read: 30 hosts of hundreds take a few hundredths of a second.
"""

import lzma
import math
from collections.abc import Sequence
from pathlib import Path

from re6st_core.errors import ConfigError

RTT_MAX_MS = 10_000.0
_SIZE_MAX = 1 << 28


def select_rtt_ms(path: Path, hosts: Sequence[int]) -> list[list[float]]:
    """Round-trip times between hosts, given by their rows (from 0); the diagonal is 0 whatever the file says.

    Raises ConfigError with all that is wrong, each beginning with the file's name and, if there is one, the
    line.
    """
    lines = _lines(path)
    width = lines[0].count(",") + 1 if lines else 0
    problems = [
        f"{path}:{number}: {line.count(',') + 1} values, and {width} in the first line"
        for number, line in enumerate(lines, 1)
        if line.count(",") + 1 != width
    ]
    if not problems and width != len(lines):
        problems = [f"{path}: not square: {len(lines)} lines of {width} values"]
    if problems:
        raise ConfigError(*problems[:3], *(["…"] if len(problems) > 3 else []))
    too_large = [host for host in hosts if host >= width]
    if too_large:
        raise ConfigError(
            f"{path}: there is no row {too_large[0]}: it has {width}, counted from 0"
            if width
            else f"{path}: is empty"
        )
    rows = []
    for host in hosts:
        cells = lines[host].split(",")
        row = [0.0 if other == host else _rtt_ms(cells[other]) for other in hosts]
        problems += [
            f"{path}:{host + 1}: column {other + 1}: {cells[other].strip()!r} is not a time in ms, "
            f"0 to {RTT_MAX_MS:g}"
            for other, rtt in zip(hosts, row, strict=True)
            if math.isnan(rtt)
        ]
        rows.append(row)
    if problems:
        raise ConfigError(*problems)
    return rows


def _rtt_ms(cell: str) -> float:
    """The number in a cell; NaN when there is none that can be a time."""
    try:
        rtt = float(cell)
    except ValueError:
        return math.nan
    return rtt if 0 <= rtt <= RTT_MAX_MS else math.nan


def _lines(path: Path) -> list[str]:
    try:
        with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file:
            data = file.read(_SIZE_MAX + 1)
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror or exc}") from exc
    except (lzma.LZMAError, EOFError) as exc:
        raise ConfigError(f"{path}: not an xz file, or cut short: {exc}") from exc
    if len(data) > _SIZE_MAX:
        raise ConfigError(f"{path}: larger than {_SIZE_MAX >> 20} MiB")
    try:
        return data.decode("ascii").splitlines()
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: not a CSV file of numbers (byte {exc.start})") from exc
