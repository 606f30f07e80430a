"""The results of a simulation as one JSON object, as CSV, and as a table for a terminal.  Pure."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from netns_lab.simulate.delays import Delays
from netns_lab.simulate.figures import degrees
from netns_lab.simulate.simulation import Round, Settings, Simulation

_DIGITS = 6


def report(
    delays: Delays, settings: Settings, simulation: Simulation, rounds: Sequence[Round]
) -> dict[str, Any]:
    """Everything, ready for JSON; ``rounds`` begins with round 0, which goes under ``start``."""
    sampled = len(simulation.destinations)
    notes = list(delays.notes)
    if sampled < delays.nodes:
        notes.append(f"paths and ratios: from every node to {sampled} destinations, drawn at random")
    found = {
        "delays": delays.name,
        "nodes": delays.nodes,
        "rule": settings.rule_name,
        "metric": asdict(settings.metric),
        "tunnels": settings.limits.open,
        "accept": settings.limits.accept,
        "relay_ms": settings.relay_us / 1000,
        "noise_percent": settings.noise.share * 100,
        "noise_queue_ms": settings.noise.queue_us / 1000,
        "seed": settings.seed,
        "round_s": settings.rule.round_s,
        "sampled_destinations": sampled,
        "notes": notes,
        "direct": asdict(rounds[0].direct),
        "best": asdict(rounds[0].best),
        "start": round_figures(rounds[0]),
        "rounds": [round_figures(one) for one in rounds[1:]],
        "degrees": {str(degree): count for degree, count in degrees(simulation.overlay).items()},
    }
    rounded: dict[str, Any] = _rounded(found)
    return rounded


def round_figures(one: Round) -> dict[str, Any]:
    """One round, by name."""
    return {
        "round": one.number,
        **asdict(one.paths),
        "direct_mean_ms": one.direct.mean_ms,
        "best_mean_ms": one.best.mean_ms,
        "components": one.components,
        "largest_component": one.largest,
        "degree": asdict(one.degree),
        "control_bytes": {"mean": one.control.mean, "max": one.control.most, "by_kind": one.control.by_kind},
        "routing_bytes": one.routing_bytes,
        "losses": {
            str(loss.loss): {"components": loss.components, "largest_component": loss.largest}
            for loss in one.losses
        },
    }


def _rounded(value: Any) -> Any:
    """Few enough digits to read; JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return round(value, _DIGITS) if math.isfinite(value) else None
    return value


def as_csv(found: dict[str, Any]) -> str:
    """One line a round, the start included; nested figures have dotted names."""
    lines = [dict(_flat(one)) for one in (found["start"], *found["rounds"])]
    names = dict.fromkeys(name for line in lines for name in line)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(names), restval=0, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _flat(figures: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    flat = []
    for name, value in figures.items():
        flat += _flat(value, f"{before}{name}.") if isinstance(value, dict) else [(before + name, value)]
    return flat


_COLUMNS = (
    ("round", "", "{}"),
    ("mean_ms", "mean\nms", "{:.1f}"),
    ("p99_ms", "p99\nms", "{:.0f}"),
    ("median_ratio_best", "median\n× best", "{:.3f}"),
    ("p99_ratio_best", "p99\n× best", "{:.2f}"),
    ("median_ratio_direct", "median\n× direct", "{:.3f}"),
    ("faster_than_direct", "pairs\nfaster", "{:.0%}"),
    ("mean_hops", "hops", "{:.2f}"),
    ("degree.max", "peers\nmost", "{}"),
    ("components", "parts", "{}"),
    ("control_bytes.mean", "sent\nkB", "{:.1f}"),
)
_SHOWN = 24
_LOST = {"random": "any", "targeted": "with the most tunnels"}


def as_table(found: dict[str, Any]) -> Table:
    """At most some two dozen rounds, evenly chosen, the first and the last among them."""
    table = Table(
        title=_title(found),
        caption=_caption(found),
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for _name, heading, _form in _COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    lines = [dict(_flat(one)) for one in (found["start"], *found["rounds"])]
    step = -(-len(lines) // _SHOWN)
    for index, line in enumerate(lines):
        if index % step == 0 or index == len(lines) - 1:
            table.add_row(*(_cell(line, name, form) for name, _heading, form in _COLUMNS))
    return table


def _cell(line: dict[str, Any], name: str, form: str) -> str:
    value = line[name]
    if value is None:
        return "-"
    return form.format(value / 1000 if name.startswith("control") else value)


def _title(found: dict[str, Any]) -> str:
    return (
        f"{found['delays']}: {found['nodes']} nodes, rule {found['rule']}, metric {found['metric']['name']}, "
        f"{found['tunnels']} tunnels opened a node, {found['accept']} accepted"
    )


def _caption(found: dict[str, Any]) -> str:
    last = found["rounds"][-1]
    lines = [
        f"{name}: mean {of['mean_ms']:.1f} ms, median {of['median_ms']:.1f} ms, p99 {of['p99_ms']:.0f} ms"
        for name, of in [("direct", found["direct"]), ("best relay paths", found["best"])]
    ]
    for loss, left in last["losses"].items():
        kind, percent = loss.split(":")
        lines.append(
            f"without {percent} % of the nodes ({_LOST[kind]}): {left['components']} parts, "
            f"{left['largest_component']:.1%} of the others in the largest"
        )
    lines.append(
        f"Babel, worked out: {last['routing_bytes'] / found['round_s'] / 1000:.1f} kB/s a node; "
        f"a round is {found['round_s']:g} s"
    )
    return "\n".join(lines + found["notes"])
