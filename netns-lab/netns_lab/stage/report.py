"""What stays of a scenario: ``report.json`` and ``timeline.svg`` in a folder that exists whole or not at all.

The folder is reserved before the scenario is played, so that a place that can't be written is known at once,
and gets its name when everything is on the disk.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from netns_lab import rootless
from netns_lab.stage.flow import Flow
from netns_lab.stage.timeline import timeline
from re6st_core.errors import ConfigError

_CURVE_POINTS = 300
_KEPT = 10


def default_folder(scenario: str, *, now: datetime) -> Path:
    """Where a report goes unless told otherwise."""
    return reports_folder() / scenario / f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def reports_folder() -> Path:
    """Where the reports of all scenarios are: below /var/lib for root, else in the user's state directory."""
    if os.geteuid() == 0 and not rootless.in_sandbox():
        base = Path("/var/lib")
    else:
        base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    return base / "netns-lab" / "reports"


def timeline_of(flows: Sequence[Flow]) -> dict[str, Any]:
    """What the picture needs of the flows; also in report.json, for those who draw their own."""
    return {"flows": [_lane(flow) for flow in flows if len(flow.packets)]}


def _lane(flow: Flow) -> dict[str, Any]:
    packets = flow.packets
    begin_s, end_s = packets.span_s
    return {
        "from": flow.a,
        "to": flow.b,
        "begin_s": round(begin_s, 3),
        "end_s": round(end_s, 3),
        "sent": len(packets),
        "lost": packets.lost(),
        "pauses": flow.pauses,
        "gaps": [
            {"start_s": round(gap.start_s, 3), "end_s": round(gap.end_s, 3), "packets": gap.packets}
            for gap in packets.gaps()
        ],
        "rtt": [
            {
                "at_s": round(i.at_s, 1),
                "median_ms": round(i.median_ms, 2),
                "largest_ms": round(i.largest_ms, 2),
            }
            for i in packets.intervals(max(0.5, (end_s - begin_s) / _CURVE_POINTS))
        ],
        "hops": [{"at_s": round(at_s, 3), "hops": hops} for at_s, hops in packets.hop_changes()],
        "ways": [{"at_s": round(at_s, 2), "nodes": list(nodes)} for at_s, nodes in flow.track.changes],
    }


def require_free(folder: Path) -> None:
    """ConfigError when there is something where a report is to be."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: not an empty directory; choose another --report")


class ReportFolder:
    """A folder to be: ``with`` reserves it, :meth:`write` fills it, leaving without removes every trace."""

    def __init__(self, folder: Path, *, prune: bool = False) -> None:
        """``prune``: of the folders beside it, keep the newest few."""
        self.folder = folder.resolve()
        self._prune = prune
        self._made: list[Path] = []  # directories above the draft, from inside outwards

    def __enter__(self) -> "ReportFolder":
        """Raises ConfigError when nothing can be written there, or something is there."""
        require_free(self.folder)
        there = self.folder.exists()
        # A directory that is there may be a mount point: only inside it is the same disk.
        name = f".{os.getpid()}.tmp"
        self._draft = self.folder / name if there else self.folder.with_name(f".{self.folder.name}{name}")
        self._made = [path for path in self._draft.parents if not path.exists()]
        try:
            self._draft.mkdir(parents=True)
        except OSError as exc:
            self._remove()
            raise ConfigError(f"the report can't be written to {self.folder}: {exc.strerror}") from exc
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self._draft, ignore_errors=True)
        for path in self._made:
            with contextlib.suppress(OSError):  # it has something in it: the report, for one
                path.rmdir()

    def write(self, report: dict[str, Any]) -> None:
        """Put JSON and picture there; ConfigError when the disk does not take them: then nothing is there."""
        try:
            self._write("report.json", json.dumps(report, indent=1) + "\n")
            self._write("timeline.svg", timeline(report))
            if self._draft.parent == self.folder:
                for name in ("timeline.svg", "report.json"):  # with the latter it is whole
                    (self._draft / name).rename(self.folder / name)
            else:
                self._draft.rename(self.folder)
        except OSError as exc:
            raise ConfigError(f"the report can't be written to {self.folder}: {exc.strerror}") from exc
        if self._prune:
            beside = sorted(path for path in self.folder.parent.iterdir() if not path.name.startswith("."))
            for old in beside[:-_KEPT]:
                shutil.rmtree(old, ignore_errors=True)

    def _write(self, name: str, text: str) -> None:
        with (self._draft / name).open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())


def stamp() -> datetime:
    """The moment, for the name of a folder."""
    return datetime.now(UTC)
