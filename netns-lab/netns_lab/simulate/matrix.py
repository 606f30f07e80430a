"""Read measured delays: a square matrix of RTT in milliseconds, or time slices; CSV, also compressed by xz.

A matrix has one line for each host, with its RTT to each host.  A first line and a first column of names
are skipped.  What is on the diagonal does not matter.  Slices begin with the line ``i,j,t1,t2,...``; then
comes one line for each pair of hosts ``i < j``, counted from 0, with its RTT at each time.
"""

import csv
import lzma
from array import array
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from netns_lab.simulate.delays import Delays
from netns_lab.simulate.mistakes import Mistakes
from re6st_core.errors import ConfigError

MAX_HOSTS, MAX_HOSTS_IN_SLICES = 5000, 2000
MAX_RTT_MS = 60_000.0
MAX_BYTES = 1 << 28
"""Of text, also when it comes out of a small compressed file."""
ASYMMETRIC_FACTOR, ASYMMETRIC_MS = 2.0, 10.0
"""The two directions of a pair are one RTT, measured twice: up to here their mean is taken."""

Line = tuple[int, str]
"""With its number, from 1."""


def read_delays(path: Path) -> Delays:
    """Read either form.  Raises ConfigError with every mistake, by file, line and column."""
    mistakes = Mistakes(path)
    lines = [(number, line) for number, line in enumerate(_text(path).splitlines(), 1) if line.strip(" \t,")]
    if not lines:
        mistakes.add("is empty: a square matrix of RTT in ms is wanted, one line a host")
        mistakes.stop()
    head = _cells(lines[0], mistakes)
    if [cell.lower() for cell in head[:2]] == ["i", "j"]:
        return _slices(path, lines, mistakes)
    return _matrix(path, lines, mistakes)


def _text(path: Path) -> str:
    """The whole file, unpacked.  Raises ConfigError."""
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
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        raise ConfigError(f"{path}: line {line}: not UTF-8, so it is no CSV file (nor an xz file)") from exc


def _cells(line: Line, mistakes: Mistakes) -> list[str]:
    """Cut at commas, without blanks around."""
    try:
        return [cell.strip() for cell in next(csv.reader([line[1]]))]
    except csv.Error as exc:
        mistakes.add(str(exc), line=line[0])
        return []


# --- a matrix -------------------------------------------------------------------------------------------


def _matrix(path: Path, lines: list[Line], mistakes: Mistakes) -> Delays:
    lines, left = _without_names(lines, mistakes)
    hosts = len(lines)
    if not 2 <= hosts <= MAX_HOSTS:
        mistakes.add(f"has {hosts} hosts; 2 to {MAX_HOSTS} are possible")
        mistakes.stop()
    rows, widths = [], set()
    for row, line in enumerate(lines):
        cells = _cells(line, mistakes)[left:]
        widths.add(len(cells))
        if len(cells) != hosts:
            mistakes.add(f"{len(cells)} values, but there are {hosts} lines", line=line[0])
        measured = (
            0.0 if row == column else _rtt_ms(cell, mistakes, line[0], left + column + 1)
            for column, cell in enumerate(cells)
        )
        rows.append(array("d", measured))
    if len(widths) == 1 and widths != {hosts}:
        mistakes = Mistakes(path)  # one mistake, not as many as there are lines
        mistakes.add(f"is not square: {hosts} lines of {widths.pop()} values")
    mistakes.check()
    notes = _symmetric(rows, [number for number, _ in lines], left, mistakes)
    matrix = array("i")
    for a, values in enumerate(rows):
        matrix.extend(0 if a == b else _us((values[b] + rows[b][a]) / 2) for b in range(hosts))
    return Delays(path.name, hosts, (matrix,), notes=notes)


def _symmetric(
    rows: list["array[float]"], numbers: list[int], left: int, mistakes: Mistakes
) -> tuple[str, ...]:
    """Check that both directions of a pair can be one RTT; what to say if they are not quite."""
    asymmetric, widest = 0, 0.0
    for a, values in enumerate(rows):
        for b in range(a):
            one, other = sorted((values[b], rows[b][a]))
            if other > ASYMMETRIC_FACTOR * one + ASYMMETRIC_MS:
                mistakes.add(
                    f"{values[b]:g} ms, but {rows[b][a]:g} ms in line {numbers[b]}, column {left + a + 1}:"
                    " not two measurements of one RTT",
                    line=numbers[a],
                    column=left + b + 1,
                )
            asymmetric += one != other
            widest = max(widest, other - one)
    mistakes.check()
    if not asymmetric:
        return ()
    pairs = f"{asymmetric} of {len(rows) * (len(rows) - 1) // 2} pairs"
    return (f"{pairs} differ by direction, by {widest:g} ms at most: the mean is taken",)


def _without_names(lines: list[Line], mistakes: Mistakes) -> tuple[list[Line], int]:
    """Skip a line of names; also say how many columns of names there are.

    Names may be ascending numbers.  Then the corner tells: no number, nor empty as all of the diagonal.
    """
    corner, *rest = _cells(lines[0], mistakes) or [""]
    words = not any(map(_is_number, rest))
    numbers = all(cell.isascii() and cell.isdigit() and len(cell) < 9 for cell in rest)
    ascending = numbers and all(int(a) < int(b) for a, b in pairwise(rest))
    corner_differs = bool(corner) or any(_cells(line, mistakes)[1:2] != [""] for line in lines[1:2])
    if len(lines) == len(rest) + 1 and not _is_number(corner):
        if words or (ascending and corner_differs):
            return lines[1:], 1
    elif len(lines) == len(rest) + 2 and not _is_number(corner) and words:
        return lines[1:], 0
    return lines, 0


# --- slices ---------------------------------------------------------------------------------------------


def _slices(path: Path, lines: list[Line], mistakes: Mistakes) -> Delays:
    times = len(_cells(lines[0], mistakes)) - 2
    pairs: dict[tuple[int, int], array[float]] = {}
    for line in lines[1:]:
        number, cells = line[0], _cells(line, mistakes)
        pair = _pair(cells, mistakes, number)
        if len(cells) != times + 2:
            mistakes.add(f"{len(cells) - 2} times, but the first line names {times}", line=number)
        elif pair in pairs:
            mistakes.add(f"the pair {pair[0]},{pair[1]} for the second time", line=number)
        elif pair is not None:
            values = (_rtt_ms(cell, mistakes, number, 3 + k) for k, cell in enumerate(cells[2:]))
            pairs[pair] = array("d", values)
    hosts = max((j for _, j in pairs), default=0) + 1
    if times < 1 or hosts < 2:
        mistakes.add(f"has {hosts if pairs else 0} hosts at {times} times; at least 2 at 1 are wanted")
    elif len(pairs) != hosts * (hosts - 1) // 2:
        absent = ((i, j) for i in range(hosts) for j in range(i + 1, hosts) if (i, j) not in pairs)
        for i, j in absent:
            mistakes.add(f"no line for the pair {i},{j}")
    mistakes.check()
    matrices = [array("i", bytes(4 * hosts * hosts)) for _ in range(times)]
    for (i, j), measured in pairs.items():
        for matrix, value in zip(matrices, measured, strict=True):
            matrix[i * hosts + j] = matrix[j * hosts + i] = _us(value)
    return Delays(path.name, hosts, tuple(matrices), notes=(f"{times} time slices, the next one each round",))


def _pair(cells: Sequence[str], mistakes: Mistakes, number: int) -> tuple[int, int] | None:
    texts = cells[:2]
    if len(texts) < 2 or not all(text.isascii() and text.isdigit() and len(text) < 9 for text in texts):
        mistakes.add(f"{','.join(texts)[:30]!r} are not the numbers of two hosts", line=number)
        return None
    i, j = map(int, texts)
    if not i < j < MAX_HOSTS_IN_SLICES:
        mistakes.add(f"hosts {i},{j}: i < j < {MAX_HOSTS_IN_SLICES} is wanted, each pair once", line=number)
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
