"""Read measured delays: a square matrix of RTT in milliseconds, or time slices; CSV, also compressed by xz.

A matrix has one line for each host, with its RTT to each host.  A first line and a first column of names
are skipped.  What is on the diagonal does not matter.  Slices begin with the line ``i,j,t1,t2,...``; then
comes one line for each pair of hosts ``i < j``, counted from 0, with its RTT at each time.
"""

import csv
import lzma
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from netns_lab.simulate.delays import Delays
from netns_lab.simulate.mistakes import Mistakes
from re6st_core.errors import ConfigError

MAX_HOSTS = 10_000
MAX_RTT_MS = 60_000.0
MAX_BYTES = 1 << 30
"""Of text, also when it comes out of a small compressed file."""
ASYMMETRIC_FACTOR, ASYMMETRIC_MS = 2.0, 10.0
"""The two directions of a pair are one RTT, measured twice: up to here their mean is taken."""

Cells = list[str]


def read_delays(path: Path) -> Delays:
    """Read either form.  Raises ConfigError with every mistake, by file, line and column."""
    mistakes = Mistakes(path)
    lines = [(number, cells) for number, cells in _lines(path) if any(cells)]
    if not lines:
        mistakes.add("is empty: a square matrix of RTT in ms is wanted, one line a host")
        mistakes.stop()
    head = [cell.strip().lower() for cell in lines[0][1]]
    if head[:2] == ["i", "j"]:
        return _slices(path, lines, mistakes)
    return _matrix(path, lines, mistakes)


def _lines(path: Path) -> Iterator[tuple[int, Cells]]:
    """Numbered lines, cut at commas.  Raises ConfigError."""
    try:
        with path.open("rb") as file:
            packed = file.read(6) == b"\xfd7zXZ\0"
            file.seek(0)
            with lzma.open(file) if packed else file as plain:
                data = plain.read(MAX_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc
    except (lzma.LZMAError, EOFError) as exc:
        raise ConfigError(f"{path}: a broken xz file: {exc}") from exc
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: more than {MAX_BYTES >> 20} MiB of text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        raise ConfigError(f"{path}: line {line}: not UTF-8, so it is no CSV file (nor an xz file)") from exc
    reader = csv.reader(text.splitlines())
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as exc:
        raise ConfigError(f"{path}: line {reader.line_num}: {exc}") from exc


# --- a matrix -------------------------------------------------------------------------------------------


def _matrix(path: Path, lines: list[tuple[int, Cells]], mistakes: Mistakes) -> Delays:
    lines, left = _without_names(lines)
    hosts = len(lines)
    if not 2 <= hosts <= MAX_HOSTS:
        mistakes.add(f"has {hosts} hosts; 2 to {MAX_HOSTS} are possible")
        mistakes.stop()
    widths = [len(cells) - left for _, cells in lines]
    if len(set(widths)) == 1 and widths[0] != hosts:
        mistakes.add(f"is not square: {hosts} lines of {widths[0]} values")
        mistakes.stop()
    for (number, _), width in zip(lines, widths, strict=True):
        if width != hosts:
            mistakes.add(f"{width} values, but there are {hosts} lines", line=number)
    rows = [
        [
            0.0 if row == column else _rtt_ms(cell, mistakes, number, left + column + 1)
            for column, cell in enumerate(cells[left : left + hosts])
        ]
        for row, (number, cells) in enumerate(lines)
    ]
    mistakes.check()
    asymmetric, widest = 0, 0.0
    for a, row in enumerate(rows):
        for b in range(a):
            one, other = sorted((row[b], rows[b][a]))
            if other > ASYMMETRIC_FACTOR * one + ASYMMETRIC_MS:
                mistakes.add(
                    f"{row[b]:g} ms, but {rows[b][a]:g} ms in line {lines[b][0]}, column {left + a + 1}:"
                    " not two measurements of one RTT",
                    line=lines[a][0],
                    column=left + b + 1,
                )
            asymmetric += one != other
            widest = max(widest, other - one)
    mistakes.check()
    notes: tuple[str, ...] = ()
    if asymmetric:
        pairs = f"{asymmetric} of {hosts * (hosts - 1) // 2} pairs"
        notes = (f"{pairs} differ by direction, by {widest:g} ms at most: the mean is taken",)
    matrix = array("i", (_us((row[b] + rows[b][a]) / 2) for a, row in enumerate(rows) for b in range(hosts)))
    for host in range(hosts):
        matrix[host * hosts + host] = 0
    return Delays(path.name, hosts, (matrix,), notes=notes)


def _without_names(lines: list[tuple[int, Cells]]) -> tuple[list[tuple[int, Cells]], int]:
    """Skip a line of names; also say how many columns of names there are.

    Names may be ascending numbers.  Then the corner tells: no number, nor empty as all of the diagonal.
    """
    corner, *rest = (cell.strip() for cell in lines[0][1])
    words = not any(map(_is_number, rest))
    numbers = all(cell.isascii() and cell.isdigit() and len(cell) < 9 for cell in rest)
    ascending = numbers and all(int(a) < int(b) for a, b in pairwise(rest))
    corner_differs = corner != "".join(cells[1].strip() for _, cells in lines[1:2] if len(cells) > 1)
    if len(lines) == len(rest) + 1 and not _is_number(corner):
        if words or (ascending and corner_differs):
            return lines[1:], 1
    elif len(lines) == len(rest) + 2 and not _is_number(corner) and words:
        return lines[1:], 0
    return lines, 0


# --- slices ---------------------------------------------------------------------------------------------


def _slices(path: Path, lines: list[tuple[int, Cells]], mistakes: Mistakes) -> Delays:
    times = len(lines[0][1]) - 2
    pairs: dict[tuple[int, int], list[float]] = {}
    for number, cells in lines[1:]:
        pair = _pair(cells, mistakes, number)
        if len(cells) != times + 2:
            mistakes.add(f"{len(cells) - 2} times, but the first line names {times}", line=number)
        elif pair in pairs:
            mistakes.add(f"the pair {pair[0]},{pair[1]} for the second time", line=number)
        elif pair is not None:
            pairs[pair] = [_rtt_ms(cell, mistakes, number, 3 + k) for k, cell in enumerate(cells[2:])]
    hosts = max((j for _, j in pairs), default=0) + 1
    if times < 1 or not 2 <= hosts <= MAX_HOSTS:
        mistakes.add(f"has {hosts if pairs else 0} hosts at {times} times; at least 2 at 1 are wanted")
    elif len(pairs) != hosts * (hosts - 1) // 2:
        absent = ((i, j) for i in range(hosts) for j in range(i + 1, hosts) if (i, j) not in pairs)
        for i, j in absent:
            mistakes.add(f"no line for the pair {i},{j}")
    mistakes.check()
    matrices = [array("i", bytes(4 * hosts * hosts)) for _ in range(times)]
    for (i, j), values in pairs.items():
        for matrix, value in zip(matrices, values, strict=True):
            matrix[i * hosts + j] = matrix[j * hosts + i] = _us(value)
    return Delays(path.name, hosts, tuple(matrices), notes=(f"{times} time slices, the next one each round",))


def _pair(cells: Sequence[str], mistakes: Mistakes, number: int) -> tuple[int, int] | None:
    texts = [cell.strip() for cell in cells[:2]]
    if len(texts) < 2 or not all(text.isascii() and text.isdigit() and len(text) < 9 for text in texts):
        mistakes.add(f"{','.join(texts)[:30]!r} are not the numbers of two hosts", line=number)
        return None
    i, j = map(int, texts)
    if not i < j < MAX_HOSTS:
        mistakes.add(f"hosts {i},{j}: i < j < {MAX_HOSTS} is wanted, each pair once", line=number)
        return None
    return i, j


# --- one value ------------------------------------------------------------------------------------------


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _rtt_ms(text: str, mistakes: Mistakes, line: int, column: int) -> float:
    """One RTT; what is none is noted, and 1 ms instead of it."""
    text = text.strip()
    if not _is_number(text):
        wrong = f"{text[:30]!r} is not a number" if text else "no value"
    else:
        value = float(text)
        if value != value:  # noqa: PLR0124 - only a NaN differs from itself
            wrong = "no value (NaN)"
        elif value < 0:
            wrong = f"{text[:30]} ms is negative"
        elif value == 0:
            wrong = "0 ms between two hosts: no measurement?"
        elif value > MAX_RTT_MS:
            wrong = f"{text[:30]} ms is more than {MAX_RTT_MS:g} ms"
        else:
            return value
    mistakes.add(wrong, line=line, column=column)
    return 1.0


def _us(ms: float) -> int:
    """Whole microseconds, at least one."""
    return max(1, round(ms * 1000))
