"""Writes ``docs/evidence.md``: every figure that the benchmarks left, with what made it, and what is missing.

    python -m benchmarks.evidence [--results DIR] [--page FILE]

The words are in ``sections.py``, the figures come from the result files.  What was not measured, or failed,
is said to be so.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.result import RESULTS, ROOT, Figure, Result, number, read
from benchmarks.sections import HEAD, SCENARIO_TEXT, SECTIONS, Section

PAGE = ROOT / "docs" / "evidence.md"
SCENARIO = "scenario."
"""Results of scenarios, one each, are called so with the scenario's name behind it."""
_BUSY = 1.0  # load before the run from which on its figures are only preliminary
_NAMED = 3  # missed bounds that are named in the overview
_WIDE = 9  # columns that still make a readable table
SCENARIO = "scenario."
"""Results of scenarios, one each, are called so with the scenario's name behind it."""
_BUSY = 1.0  # load before the run from which on its figures are only preliminary
_NAMED = 3  # missed bounds that are named in the overview
_WIDE = 9  # columns that still make a readable table


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args(argv)
    options.page.write_text(page(load(options.results), scenario_names()))
    print(f"written: {options.page}", file=sys.stderr)
    return 0


def load(directory: Path) -> dict[str, Result]:
    """All results in a directory, by benchmark."""
    return {path.stem: read(path) for path in sorted(directory.glob("*.json"))}


def scenario_names() -> list[str]:
    """The scenarios that the lab has."""
    from netns_lab.scenarios import SCENARIOS  # noqa: PLC0415  # the lab's C part is not needed for the rest

    return list(SCENARIOS)


def page(results: Mapping[str, Result], scenarios: Sequence[str]) -> str:
    """The whole page."""
    parts = [HEAD, _overview(results, scenarios)]
    known = {section.benchmark for section in SECTIONS}
    others = [
        Section(name, result.question, "")
        for name, result in results.items()
        if name not in known and not name.startswith(SCENARIO)
    ]
    for section in (*SECTIONS, *others):
        parts += [
            f"## {section.heading}",
            section.text,
            *_body(results.get(section.benchmark), section.benchmark),
        ]
    parts += ["## Scenarios of the lab", SCENARIO_TEXT, scenario_table(results, scenarios)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _overview(results: Mapping[str, Result], scenarios: Sequence[str]) -> str:
    lines = ["| measured | on | commit | outcome |", "|---|---|---|---|"]
    for section in SECTIONS:
        lines.append(_overview_line(section.heading, results.get(section.benchmark)))
    done = [results[SCENARIO + name] for name in scenarios if SCENARIO + name in results]
    passed = sum(result.failure is None and result.met for result in done)
    dates = sorted({result.date[:10] for result in done})
    commits = sorted({result.commit for result in done})
    lines.append(
        f"| Scenarios of the lab | {' … '.join(dict.fromkeys([*dates[:1], *dates[-1:]])) or '-'} |"
        f" {', '.join(commits) or '-'} |"
        f" {passed} of {len(scenarios)} pass, {len(scenarios) - len(done)} not played |"
    )
    return "\n".join(lines)


def _overview_line(heading: str, result: Result | None) -> str:
    if result is None:
        return f"| {heading} | - | - | **not measured** |"
    return f"| {heading} | {result.date} | {result.commit} | {outcome(result)} |"


def outcome(result: Result) -> str:
    """In a few words."""
    if result.failure is not None:
        return "**FAILED**"
    missing = [_name(each) for each in result.figures if each.value is None]
    missed = [_name(each) for each in result.figures if each.met is False and each.value is not None]
    words = [f"**missed**: {_few(missed)}"] if missed else []
    words += [f"**not measured**: {_few(missing)}"] if missing else []
    if not words:
        words = ["within its bounds" if any(each.bound for each in result.figures) else "measured"]
    words += ["on a busy machine"] if result.load > _BUSY else []
    return cell("; ".join(words))


def _few(names: Sequence[str]) -> str:
    """The first ones, and how many more."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _name(figure: Figure) -> str:
    return f"{figure.of}: {figure.name}" if figure.of else figure.name


def _body(result: Result | None, benchmark: str) -> Iterator[str]:
    """Figures, notes and origin of one benchmark."""
    if result is None:
        yield f"**Not measured**: `make bench ARGS={benchmark}` has left no result."
        return
    if result.failure is not None:
        yield f"**FAILED**: {cell(result.failure)}"
    if result.figures:
        yield table(result.figures)
    if result.notes:
        yield "\n".join(f"- {cell(note)}" for note in result.notes)
    yield origin(result)


def origin(result: Result) -> str:
    """What made the figures."""
    versions = ", ".join(f"{program} {version}" for program, version in result.versions.items())
    return (
        f"`{result.command}`, {result.date} UTC, commit {result.commit}, took {result.seconds:.0f} s,"
        f" load {result.load:g}.  \n{result.machine}.{f' {versions}.' if versions else ''}"
    )


def table(figures: Sequence[Figure]) -> str:
    """A row per thing measured and a column per figure; or a line per figure."""
    rows = list(dict.fromkeys(each.of for each in figures))
    fullest_first = sorted(figures, key=lambda each: -sum(other.of == each.of for other in figures))
    columns = list(dict.fromkeys(each.name for each in fullest_first))
    if len(rows) > 1 and len(columns) <= _WIDE:
        at = {(each.of, each.name): each for each in figures}
        units = {column: {each.unit for each in figures if each.name == column} for column in columns}
        headings = [cell(_heading(column, units[column])) for column in columns]
        lines = [f"| | {' | '.join(headings)} |", "|---" * (len(columns) + 1) + "|"]
        for row in rows:
            cells = [
                _value(at[row, column], "" if len(units[column]) == 1 else at[row, column].unit)
                if (row, column) in at
                else ""
                for column in columns
            ]
            lines.append(f"| {cell(row)} | {' | '.join(cells)} |")
    else:
        lines = ["| | measured | bound |", "|---|---|---|"]
        lines += [
            f"| {cell(_name(each))} | {_value(each, each.unit, bound=False)} | {_bound(each)} |"
            for each in figures
        ]
    return "\n".join(lines)


def _heading(name: str, units: set[str]) -> str:
    """The unit stands there when the whole column has the same."""
    return ", ".join(filter(None, [name, *(units if len(units) == 1 else ())]))


def _value(figure: Figure, unit: str, *, bound: bool = True) -> str:
    words = f"{number(figure.value)} {unit if figure.value is not None else ''}".rstrip()
    if figure.interval:
        words += f" [{number(figure.interval[0])}, {number(figure.interval[1])}]"
    if bound and figure.bound:
        words += f" ({_bound(figure)})"
    return cell(words)


def _bound(figure: Figure) -> str:
    if figure.bound is None:
        return ""
    return figure.bound if figure.met else f"**{figure.bound} missed**"


def scenario_table(results: Mapping[str, Result], scenarios: Iterable[str]) -> str:
    """A line per scenario, those that were not played too."""
    lines = ["| scenario | verdict | took, s | figures | on | commit |", "|---|---|---|---|---|---|"]
    played: list[Result] = []
    for name in scenarios:
        result = results.get(SCENARIO + name)
        if result is None:
            lines.append(f"| {name} | **not played** | | | | |")
            continue
        played.append(result)
        verdict = next((str(each.value) for each in result.figures if each.name == "verdict"), "**FAILED**")
        figures = [
            f"{each.name} {_value(each, each.unit)}"
            for each in result.figures
            if each.name not in {"verdict", "duration"}
        ]
        said = [result.failure] if result.failure else list(result.notes)
        lines.append(
            f"| {name} | {verdict} | {result.seconds:.0f} | {'; '.join([*figures, *map(cell, said)])} |"
            f" {result.date} | {result.commit} |"
        )
    machines = dict.fromkeys(result.machine for result in played)
    return "\n".join([*lines, *(f"\n{machine}." for machine in machines)])


def cell(text: str) -> str:
    """A text that fits into a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
