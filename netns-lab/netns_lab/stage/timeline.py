"""The story in one picture: an SVG, readable in light and in dark.  Pure: a report in, text out.

::

      0 s          20 s          40 s          60 s
    a-b  #######################....##############      green: answers come; red: nothing does
                     |                                  a tick where packets begin to be lost
         [ a r1 b                  ][ a r2 b  ]         the way, as long as it is taken
         ___________________________-------------       round trips
              1        2           3                    events, written out below
"""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH = 1000
_LEFT, _RIGHT, _TOP = 110, 20, 64
_LANE, _BAR, _CURVE = 98, 16, 34
_LINE = 17
_WAY, _LETTER = 14, 7  # height of a way, width of a letter
_TICKS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)

# No CSS variables: many programs that show SVG do not know them.
_STYLE = """
svg{font:12px sans-serif}.big{font-size:16px;font-weight:600}.num{font-size:10px;text-anchor:middle}
.curve{fill:none}.mark{stroke-dasharray:2 3}
.paper{fill:#fff}text{fill:#1c2128}.dim{fill:#656d76}.mark{stroke:#afb8c1}.grid{stroke:#e6eaef}
.way0{fill:#d8e4f2}.way1{fill:#f2e6cf}.good{fill:#2da44e}.bad{fill:#cf222e}.tick{stroke:#cf222e}.curve{stroke:#0969da}
@media(prefers-color-scheme:dark){
.paper{fill:#0d1117}text{fill:#e6edf3}.dim{fill:#8b949e}.mark{stroke:#484f58}.grid{stroke:#21262d}
.way0{fill:#1c3350}.way1{fill:#4a3a17}.good{fill:#3fb950}.bad{fill:#f85149}.tick{stroke:#f85149}.curve{stroke:#58a6ff}}
"""


@dataclass(frozen=True, slots=True)
class _Scale:
    """Seconds to pixels."""

    begin_s: float
    end_s: float

    def x(self, at_s: float) -> float:
        share = (at_s - self.begin_s) / max(self.end_s - self.begin_s, 1e-9)
        return round(_LEFT + min(max(share, 0.0), 1.0) * (WIDTH - _LEFT - _RIGHT), 1)


def timeline(report: dict[str, Any]) -> str:
    """The picture of one report, as ``report.json`` has it."""
    scale = _Scale(0.0, max([1.0, report["duration_s"], *(event["at_s"] for event in report["events"])]))
    lanes = report["timeline"]["flows"]
    events = report["events"]
    lanes_end = _TOP + max(1, len(lanes)) * _LANE
    height = lanes_end + 30 + _LINE * (len(events) + len(report["figures"]) + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}">',
        f"<title>{escape(report['scenario'])}: {report['verdict']}</title><style>{_STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}"/>',
        f'<text class="big" x="12" y="24">{escape(report["scenario"])}</text>',
        _verdict(report),
        *_grid(scale, lanes_end),
        *_marks(scale, events, lanes_end),
    ]
    for i, lane in enumerate(lanes):
        parts += _lane(scale, lane, _TOP + i * _LANE)
    if not lanes:
        parts.append(f'<text class="dim" x="12" y="{_TOP + 20}">no flow was measured</text>')
    parts += _written(report, lanes_end + 30)
    return "\n".join([*parts, "</svg>\n"])


def _verdict(report: dict[str, Any]) -> str:
    passed = report["verdict"] == "pass"
    expected = "" if report["expected"] == report["verdict"] else f" (expected: {report['expected']})"
    return (
        f'<text class="{"good" if passed else "bad"}" x="{WIDTH - _RIGHT}" y="24" text-anchor="end">'
        f"{report['verdict']}{expected}</text>"
    )


def _grid(scale: _Scale, bottom: float) -> Iterator[str]:
    span_s = scale.end_s - scale.begin_s
    step_s = next((tick for tick in _TICKS if span_s / tick <= 12), _TICKS[-1])
    for i in range(int(span_s / step_s) + 1):
        x = scale.x(scale.begin_s + i * step_s)
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="{_TOP - 12}" y2="{bottom}"/>'
        yield f'<text class="dim num" x="{x}" y="{_TOP - 28}">{i * step_s:g} s</text>'


def _marks(scale: _Scale, events: list[dict[str, Any]], bottom: float) -> Iterator[str]:
    free_at = 0.0
    for number, event in enumerate(events, 1):
        x = scale.x(event["at_s"])
        yield f'<line class="mark" x1="{x}" x2="{x}" y1="{_TOP - 12}" y2="{bottom}"/>'
        if x >= free_at:
            yield f'<text class="num dim" x="{x}" y="{_TOP - 16}">{number}</text>'
            free_at = x + 14


def _lane(scale: _Scale, lane: dict[str, Any], top: float) -> Iterator[str]:
    begin, end = scale.x(lane["begin_s"]), scale.x(lane["end_s"])
    yield f'<text x="12" y="{top + 13}">{escape(lane["from"])}-{escape(lane["to"])}</text>'
    yield f'<text class="dim" x="12" y="{top + 28}">{lane["lost"]} of {lane["sent"]} lost</text>'
    yield f'<rect class="good" x="{begin}" y="{top}" width="{max(end - begin, 1):.1f}" height="{_BAR}"/>'
    for gap in lane["gaps"]:
        x = scale.x(gap["start_s"])
        width = max(scale.x(gap["end_s"]) - x, 0.6)
        yield f'<rect class="bad" x="{x}" y="{top}" width="{width:.1f}" height="{_BAR}"/>'
        yield f'<line class="tick" x1="{x}" x2="{x}" y1="{top + _BAR}" y2="{top + _BAR + 6}"/>'
    yield from _ways(scale, lane, top + _BAR + 8)
    yield from _curve(scale, lane["rtt"], top + _BAR + 26)


def _ways(scale: _Scale, lane: dict[str, Any], top: float) -> Iterator[str]:
    """A box for each way, as long as it was taken; its nodes inside where they have room."""
    ways = lane["ways"]  # none, if nothing ever got there
    ends = [*(change["at_s"] for change in ways[1:]), lane["end_s"]][: len(ways)]
    for number, (change, end_s) in enumerate(zip(ways, ends, strict=True)):
        x = scale.x(change["at_s"])
        width, words = max(scale.x(end_s) - x, 1), " ".join(change["nodes"])
        yield f'<rect class="way{number % 2}" x="{x}" y="{top}" width="{width:.1f}" height="{_WAY}"/>'
        if width > _LETTER * len(words) + 4:
            yield f'<text x="{x + 2}" y="{top + _WAY - 3}">{escape(words)}</text>'


def _curve(scale: _Scale, points: list[dict[str, float]], top: float) -> Iterator[str]:
    if not points:
        return
    largest = max(point["median_ms"] for point in points) or 1.0
    line = " ".join(
        f"{scale.x(p['at_s'])},{top + _CURVE - p['median_ms'] / largest * (_CURVE - 4):.1f}" for p in points
    )
    yield f'<text class="dim num" x="{_LEFT - 24}" y="{top + 10}">{largest:.0f} ms</text>'
    yield f'<polyline class="curve" points="{line}"/>'


def _text(said: str) -> str:
    """What was said, without what XML can't say: an event may hold the last line of any program's log."""
    return escape("".join(letter if letter.isprintable() else " " for letter in said))


def _written(report: dict[str, Any], top: float) -> Iterator[str]:
    y = top
    for name, figure in report["figures"].items():
        value = "not measured" if figure["value"] is None else f"{figure['value']:.4g} {figure['unit']}"
        bound = f"  ({figure['bound']})" if figure["bound"] else ""
        kind = "" if figure["met"] else ' class="bad"'
        yield f'<text x="12" y="{y}"{kind}>{escape(name)}: {escape(value)}{escape(bound)}</text>'
        y += _LINE
    y += _LINE
    for number, event in enumerate(report["events"], 1):
        yield (
            f'<text x="12" y="{y}"><tspan class="dim">{number}. {event["at_s"]:.1f} s</tspan>'
            f" {_text(event['text'])}</text>"
        )
        y += _LINE
