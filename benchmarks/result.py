"""The form in which every benchmark leaves its result: figures, and what is needed to make them again.

A script of this package is a parser, a function that measures, and::

    if __name__ == "__main__":
        sys.exit(run("switch", "How late is the lab's switch?", parser(), measure))

``run`` adds ``--quick`` (the script decides what that means), ``--json`` and ``--results DIR``, and writes
``results/<name>.json``::

    {"benchmark", "question", "command", "machine", "date", "commit", "load", "seconds",
     "versions": {program: text}, "notes": [text], "failure": text | null,
     "figures": [{"name", "value", "unit", "of", "interval": [low, high] | null, "bound", "met"}]}

A run that fails leaves a result that says so: an old figure never stands for a new one.
"""

import argparse
import dataclasses
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from re6st_core.errors import ConfigError, Re6stError

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
_MADE_BY_US = ":!docs/evidence.md", ":!benchmarks/results"  # new results do not make the tree a changed one


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; those of the same ``of`` are a row of a table, those of the same name a column."""

    name: str
    value: float | str | None  # text: as in "pass"; None: could not be measured
    unit: str
    of: str = ""  # what was measured, when the benchmark compares several things
    interval: tuple[float, float] | None = None  # 95 % confidence
    bound: str | None = None  # as in "<= 10"
    met: bool | None = None  # None: there is no bound


def figure(
    name: str,
    value: float | None,
    unit: str,
    *,
    of: str = "",
    interval: tuple[float, float] | None = None,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Figure:
    """A figure and whether it is within its bounds; a value that could not be measured is not."""
    parts = [f"<= {at_most:g}"] if at_most is not None else []
    parts += [f">= {at_least:g}"] if at_least is not None else []
    met = None
    if parts:
        met = value is not None and (at_most is None or value <= at_most)
        met = met and value is not None and (at_least is None or value >= at_least)
    return Figure(name, value, unit, of, interval, " and ".join(parts) or None, met)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a script hands over."""

    figures: Sequence[Figure]
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)  # of the programs that took part
    notes: Sequence[str] = ()  # what a reader must know to read the figures, a sentence each


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The content of a result file."""

    benchmark: str
    question: str
    command: str
    machine: str
    date: str  # UTC, when it began
    commit: str  # "+" behind it: with changes that are not in it
    load: float  # 1-minute load average before it began: what others did on the machine
    seconds: float
    figures: tuple[Figure, ...] = ()
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    failure: str | None = None

    @property
    def met(self) -> bool:
        """Whether it ran to its end, measured everything, and every bound is met."""
        return self.failure is None and all(
            each.value is not None and each.met is not False for each in self.figures
        )

    def write(self, directory: Path) -> None:
        """Leave it as a file, whole or not at all."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.benchmark}.json"
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n")
        temporary.replace(path)


def read(path: Path) -> Result:
    """The result in a file; ConfigError when it is not in this form."""
    try:
        fields = json.loads(path.read_text())
        figures = [{**each, "interval": _pair(each.get("interval"))} for each in fields.pop("figures")]
        notes = tuple(fields.pop("notes"))
        return Result(figures=tuple(Figure(**each) for each in figures), notes=notes, **fields)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ConfigError(f"{path}: not a result of a benchmark: {exc}") from exc


def _pair(value: Any) -> tuple[float, float] | None:  # Any: decoded JSON
    if value is None:
        return None
    low, high = value
    return low, high


def started(benchmark: str, question: str, command: str) -> Result:
    """A result without figures yet: what is known when a benchmark begins."""
    return Result(
        benchmark=benchmark,
        question=question,
        command=command,
        machine=machine(),
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        commit=commit(),
        load=round(os.getloadavg()[0], 2),
        seconds=0,
    )


def record(
    benchmark: str, question: str, command: str, measure: Callable[[], Measured], directory: Path
) -> Result:
    """Measure and leave the result in ``directory``; a mistake of ours is left there too, then raised."""
    result, began = started(benchmark, question, command), time.monotonic()

    def end(**changes: Any) -> Result:  # Any: fields of Result
        ended = dataclasses.replace(result, seconds=round(time.monotonic() - began, 1), **changes)
        ended.write(directory)
        return ended

    try:
        measured = measure()
    except Re6stError as exc:
        return end(failure=str(exc))
    except Exception as exc:
        end(failure=f"{type(exc).__name__}: {exc}")
        raise
    figures, notes = tuple(measured.figures), tuple(measured.notes)
    return end(figures=figures, versions=dict(measured.versions), notes=notes)


def run(
    benchmark: str,
    question: str,
    parser: argparse.ArgumentParser,
    measure: Callable[[argparse.Namespace], Measured],
    argv: Sequence[str] | None = None,
) -> int:
    """The ``main`` of a script; returns the exit status.

    0; 1 if it failed or missed a bound; 130 if it was ended by a signal: then there is no new result.
    """
    if argv is None:
        argv = sys.argv[1:]
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _leave)
    common_options(parser)
    options = parser.parse_args(list(argv))
    command = shlex.join(["python", "-m", f"benchmarks.{benchmark}", *_that_matter(argv)])
    try:
        result = record(benchmark, question, command, lambda: measure(options), options.results)
    except KeyboardInterrupt:
        print(f"{benchmark}: interrupted, no new result", file=sys.stderr)
        return 130
    print(json.dumps(dataclasses.asdict(result)) if options.json else as_text(result))
    return 0 if result.met else 1


def _that_matter(argv: Sequence[str]) -> list[str]:
    """Arguments without those that only say where the result goes."""
    kept, words = [], iter(argv)
    for word in words:
        if word == "--results":
            next(words)
        elif word != "--json" and not word.startswith("--results="):
            kept.append(word)
    return kept


def _leave(number: int, frame: object) -> None:
    """End as Ctrl-C does, so that everything is removed."""
    raise KeyboardInterrupt


def common_options(parser: argparse.ArgumentParser) -> None:
    """The options that every script has."""
    parser.add_argument("--quick", action="store_true", help="a short run, to see that it works")
    parser.add_argument("--json", action="store_true", help="print the result as it is written")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write it (%(default)s)")


def as_text(result: Result) -> str:
    """The figures, a line each."""
    lines = [f"{result.benchmark}: {result.question}  ({result.seconds:g} s)"]
    lines += [f"  FAILED: {result.failure}"] if result.failure else []
    for each in result.figures:
        value = f"{number(each.value)} {each.unit if each.value is not None else ''}".rstrip()
        if each.interval:
            value += f" [{number(each.interval[0])}, {number(each.interval[1])}]"
        if each.bound:
            value += f"  ({each.bound}{'' if each.met else ', MISSED'})"
        lines.append(f"  {' / '.join(filter(None, (each.of, each.name)))}: {value}")
    return "\n".join(lines)


def number(value: float | str | None) -> str:
    """As people read it: four digits, more if they stand before the point."""
    if value is None:
        return "not measured"
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def machine() -> str:
    """What it runs on, in one line."""
    cpu, memory = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    models = [line for line in cpu.read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(": ")[2] if models else platform.machine()
    kilobytes = int(memory.read_text().split()[1])
    release = platform.freedesktop_os_release()
    return (
        f"{os.cpu_count()} x {model}, {kilobytes / 1e6:.0f} GB, Linux {platform.release()},"
        f" {release.get('PRETTY_NAME', release['NAME'])}, Python {platform.python_version()}"
    )


def commit() -> str:
    """The commit of this checkout, ``+`` behind it if files differ; ``unknown`` outside a repository."""
    try:
        name = _git("rev-parse", "--short", "HEAD").strip()
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *_MADE_BY_US)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{name}+" if changed else name


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def package_versions(*packages: str) -> dict[str, str]:
    """The versions of Debian packages; "not installed" for what is not."""
    argv = ["dpkg-query", "-W", "-f", "${Package} ${Version}\\n", *packages]
    shown = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    installed = dict(line.split(" ", 1) for line in shown.splitlines() if not line.endswith(" "))
    return {package: installed.get(package, "not installed") for package in packages}
