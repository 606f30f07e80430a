"""``netns-lab report``: what scenarios have left: verdicts, figures against bounds, where the picture is."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from netns_lab.cli.parsers import Commands
from netns_lab.stage.report import reports_folder
from re6st_core.errors import ConfigError


def add_parser(commands: Commands) -> None:
    """Add the sub-command."""
    report = commands.add_parser("report", help="what scenarios have left: verdicts, figures, pictures")
    report.add_argument(
        "which", metavar="SCENARIO|DIR", nargs="?", help="its last report; default: the last of each"
    )
    report.add_argument("--json", action="store_true", help="one JSON object, for a report or for all")
    report.set_defaults(command=_report, unprivileged=True)


def _report(arguments: argparse.Namespace) -> int:
    console = Console()
    if arguments.which:
        folder = _folder(arguments.which)
        report = read_report(folder)
        if arguments.json:
            print(json.dumps(report))
        else:
            console.print(figures_of(report), *_told(report, folder), soft_wrap=True, markup=False)
        return 0
    found = {folder.parent.name: (folder, read_report(folder)) for folder in _newest()}
    if not found:
        raise ConfigError(f"no report in {reports_folder()}: netns-lab run NAME leaves one")
    if arguments.json:
        print(json.dumps({name: report for name, (_, report) in found.items()}))
    else:
        console.print(summary(found))
    return 0


def _folder(which: str) -> Path:
    """The folder of a report, given itself, a scenario, or a path."""
    if (Path(which) / "report.json").exists():
        return Path(which)
    newest = {folder.parent.name: folder for folder in _newest()}
    if which not in newest:
        known = ", ".join(newest) or "none"
        raise ConfigError(
            f"{which}: no folder with a report.json, no scenario with a report; those are: {known}"
        )
    return newest[which]


def _newest() -> Iterator[Path]:
    """The last report of each scenario; their folders are named by time."""
    base = reports_folder()
    for scenario in sorted(base.iterdir()) if base.is_dir() else ():
        if folders := sorted(path.parent for path in scenario.glob("*/report.json")):
            yield folders[-1]


def read_report(folder: Path) -> dict[str, Any]:
    """A report from its folder; ConfigError when there is none that can be read."""
    file = folder / "report.json"
    try:
        report = json.loads(file.read_bytes())
        return {**report, "figures": dict(report["figures"]), "verdict": str(report["verdict"])}
    except OSError as exc:
        raise ConfigError(f"{file}: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise ConfigError(f"{file}: not a report of netns-lab run") from exc


def summary(found: dict[str, tuple[Path, dict[str, Any]]]) -> Table:
    """A row for each scenario."""
    table = Table("scenario", "verdict", "expected", "missed bounds", "when", box=None)
    for name, (folder, report) in found.items():
        missed = [figure for figure, value in report["figures"].items() if value.get("met") is False]
        expected = str(report.get("expected", ""))
        table.add_row(name, report["verdict"], expected, ", ".join(missed) or "-", folder.name)
    return table


def figures_of(report: dict[str, Any]) -> Table:
    """A row for each figure."""
    table = Table(
        "figure", "value", "bound", "", box=None, title=f"{report.get('scenario')}: {report['verdict']}"
    )
    for name, figure in report["figures"].items():
        value = (
            "not measured"
            if figure.get("value") is None
            else f"{figure['value']:.4g} {figure.get('unit', '')}"
        )
        bound = figure.get("bound") or "-"
        table.add_row(name, value, bound, "" if figure.get("met", True) else "MISSED")
    return table


def _told(report: dict[str, Any], folder: Path) -> list[str]:
    lines = [f"failed: {failure}" for failure in report.get("failures", [])]
    picture = folder / "timeline.svg"
    return [*lines, f"picture: {picture}" if picture.exists() else f"report: {folder}"]
