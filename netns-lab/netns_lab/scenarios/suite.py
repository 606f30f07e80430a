"""Many scenarios, one after the other: what came of each, in a table and as one JSON object."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from netns_lab.scenarios.performance import Result
from netns_lab.scenarios.scenario import Outcome

_STYLES = {Outcome.AS_EXPECTED: "green", Outcome.WORSE: "bold red", Outcome.BETTER: "bold yellow"}


def passed(results: Sequence[Result]) -> bool:
    """Whether every outcome is the expected one; a scenario that is better than expected is not."""
    return all(result.outcome is Outcome.AS_EXPECTED for result in results)


def suite_report(results: Sequence[Result]) -> dict[str, Any]:
    """One JSON-able object with the reports of all."""
    return {
        "verdict": "pass" if passed(results) else "fail",
        "duration_s": round(sum(result.report["duration_s"] for result in results), 1),
        "scenarios": [result.report for result in results],
    }


def table_of(results: Sequence[Result]) -> Table:
    """A line per scenario: verdict, what was expected, the figures that have bounds."""
    table = Table("scenario", "verdict", "outcome", "s", "figures")
    for column in table.columns[:4]:
        column.no_wrap = True
    for result in results:
        report = result.report
        issue = f" (issue {report['not_yet']['issue']})" if report["expected"] == "fail" else ""
        figures = [_line(name, figure) for name, figure in report["figures"].items() if figure["bound"]]
        table.add_row(
            result.name,
            report["verdict"] + issue,
            f"[{_STYLES[result.outcome]}]{result.outcome.value}",
            f"{report['duration_s']:.0f}",
            "\n".join(figures),
        )
    return table


def remarks(results: Sequence[Result]) -> list[str]:
    """What somebody should do something about."""
    lines = []
    for result in results:
        lines += [f"{result.name}: {failure}" for failure in _unexpected(result)]
        if result.outcome is Outcome.BETTER:
            lines.append(f"{result.name}: PASSES NOW, although it is expected to fail: remove its not_yet")
        elif result.now_met and not result.report["not_yet"]["sometimes"]:
            names = ", ".join(result.now_met)
            lines.append(f"{result.name}: MEETS ITS BOUND NOW: {names}; remove it from not_yet")
    return lines


def _unexpected(result: Result) -> list[str]:
    if result.outcome is not Outcome.WORSE:
        return []
    return list(result.report["failures"])


def _line(name: str, figure: dict[str, Any]) -> str:
    value = "-" if figure["value"] is None else f"{figure['value']:.4g} {figure['unit']}".strip()
    return f"{name.replace('_', ' ')} {value} ({figure['bound']}){'' if figure['met'] else ' missed'}"
