"""Draw a simulation as one SVG: RTT and ratios, round by round.  Pure."""

import math
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP, _RIGHT = 920, 210, 70, 60, 60, 190
_PANELS = (
    (
        "RTT, ms (mean over all pairs)",
        (
            ("mean_ms", "over the overlay", "#1b6ca8"),
            ("direct_mean_ms", "direct", "#888888"),
            ("best_mean_ms", "best relay path", "#2e8b57"),
        ),
    ),
    (
        "times the best relay path",
        (("median_ratio_best", "median", "#1b6ca8"), ("p99_ratio_best", "99th percentile", "#b5452c")),
    ),
    (
        "share of pairs",
        (("faster_than_direct", "faster than direct", "#1b6ca8"), ("reachable", "with a route", "#2e8b57")),
    ),
)

Figures = Sequence[dict[str, Any]]


def as_svg(found: dict[str, Any]) -> str:
    """The whole picture; ``found`` is the report."""
    rounds = [found["start"], *found["rounds"]]
    height = _TOP + len(_PANELS) * (_HEIGHT + _GAP)
    title = (
        f"{found['delays']}: {found['nodes']} nodes, rule {found['rule']}, {found['tunnels']} tunnels a node"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif"'
        ' font-size="13">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="28" font-size="16">{escape(title)}</text>',
    ]
    for number, (heading, series) in enumerate(_PANELS):
        parts += _panel(rounds, heading, series, _TOP + number * (_HEIGHT + _GAP))
    return "\n".join([*parts, "</svg>", ""])


def _panel(rounds: Figures, heading: str, series: Sequence[tuple[str, str, str]], top: float) -> list[str]:
    """One pair of axes with its lines."""
    values = [one[name] for one in rounds for name, _, _ in series if one[name] is not None]
    low, high, step = _scale(min(values, default=0.0), max(values, default=1.0))
    right, bottom = _WIDTH - _RIGHT, top + _HEIGHT

    def x(number: int) -> float:
        return _LEFT + (right - _LEFT) * number / max(1, len(rounds) - 1)

    def y(value: float) -> float:
        return bottom - _HEIGHT * (value - low) / (high - low)

    parts = [f'<text x="{_LEFT}" y="{top - 8:.1f}" font-weight="bold">{escape(heading)}</text>']
    for k in range(round((high - low) / step) + 1):
        tick = low + k * step
        parts.append(
            f'<path d="M{_LEFT} {y(tick):.1f}H{right}" stroke="#dddddd"/>'
            f'<text x="{_LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    every = max(1, round(_scale(0, len(rounds) - 1)[2])) if len(rounds) > 1 else 1
    parts += [
        f'<text x="{x(number):.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{number}</text>'
        for number in range(0, len(rounds), every)
    ]
    parts.append(f'<text x="{right + 8}" y="{bottom + 18:.1f}">round</text>')
    lowest = bottom + 4.0
    ends = []
    for name, label, colour in series:
        points = [(x(k), y(one[name])) for k, one in enumerate(rounds) if one[name] is not None]
        line = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if points:
            ends.append((points[-1][1], label, colour, rounds[-1][name]))
    for at, label, colour, value in sorted(ends, key=lambda end: -end[0]):
        lowest = min(at + 4, lowest - 16)  # labels of lines that end close together do not overlap
        shown = "" if value is None else f" {value:.4g}"
        parts.append(f'<text x="{right + 8}" y="{lowest:.1f}" fill="{colour}">{escape(label)}{shown}</text>')
    return parts


def _scale(low: float, high: float) -> tuple[float, float, float]:
    """Round limits around some values, and a round step that divides them in four to ten."""
    span = high - low if high - low > 1e-9 * max(1.0, high) else max(1.0, high)
    magnitude = 10.0 ** math.floor(math.log10(span / 4))
    step = next(magnitude * f for f in (1, 2, 5, 10) if span / (magnitude * f) <= 8)
    start = math.floor(low / step) * step
    end = math.ceil(high / step) * step
    return start, end if end > start else start + step, step
