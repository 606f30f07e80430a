"""``netns-lab nat``: measure the NAT boxes of this machine's kernel, and print what they do.

Exit status 1 when a box does not do what its kind says, or a pair is not as the table says.
"""

import argparse
import json
from collections.abc import Sequence

from netns_lab import programs
from netns_lab.boxes.behaviour import BLOCKED_UDP, BOXES, ENDS, Depends
from netns_lab.boxes.nat_survey import KindRow, PairRow, survey_kinds, survey_pairs
from netns_lab.cli.parsers import Commands
from re6st_core.errors import ConfigError

_LINE = "{:18}  {:7}  {:11}  {:11}  {:5}  {:21}  {}"
_DEPENDS = {
    Depends.NOTHING: "all peers",
    Depends.ADDRESS: "by address",
    Depends.ADDRESS_AND_PORT: "by port",
}


def add_parser(commands: Commands) -> None:
    """Add the sub-command."""
    nat = commands.add_parser("nat", help="measure what the lab's NAT boxes do, by STUN")
    nat.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(BOXES)}; default: all")
    nat.add_argument("--pairs", action="store_true", help="also try to open a path between each two of them")
    nat.add_argument("--json", action="store_true", help="print one JSON object")
    nat.set_defaults(command=_nat)


def _nat(arguments: argparse.Namespace) -> int:
    unknown = [kind for kind in arguments.kinds if kind not in BOXES]
    if unknown:
        raise ConfigError(*(f"no kind of NAT {kind!r}; there are: {', '.join(BOXES)}" for kind in unknown))
    programs.require(programs.LAB_PACKAGES)
    kinds = arguments.kinds or list(BOXES)
    rows = survey_kinds(kinds)
    ends = (None, *arguments.kinds, BLOCKED_UDP) if arguments.kinds else ENDS
    pairs = survey_pairs(ends) if arguments.pairs else []
    if arguments.json:
        print(json.dumps({"kinds": [_kind(row) for row in rows], "pairs": [_pair(row) for row in pairs]}))
    else:
        _show(rows, pairs, ends)
    wrong = [row for row in rows if not row.as_expected]
    return 1 if wrong or any(row.direct != row.expected for row in pairs) else 0


def _kind(row: KindRow) -> dict[str, object]:
    seen = row.measured.behaviour
    return {
        "kind": row.kind,
        "hairpin": row.hairpin,
        "mapping": seen.mapping.words,
        "filtering": seen.filtering.words,
        "preserves_port": seen.preserves_port,
        "overloads_port": seen.overloads_port,
        "hairpin_works": seen.hairpin,
        "early_peer_harmless": row.measured.early_peer_harmless,
        "equal_ports_apart": row.measured.equal_ports_apart,
        "as_expected": row.as_expected,
    }


def _pair(row: PairRow) -> dict[str, object]:
    return {
        "first": row.first,
        "second": row.second,
        "one_box": row.one_box,
        "hairpin": row.hairpin,
        "direct": row.direct,
        "expected": row.expected,
    }


def _show(rows: Sequence[KindRow], pairs: Sequence[PairRow], ends: Sequence[str | None]) -> None:
    print(_LINE.format("kind", "hairpin", "mapping", "filter", "port", "two hosts on one port", "").rstrip())
    for row in rows:
        seen = row.measured.behaviour
        remarks = [
            *(["hosts reach each other"] if seen.hairpin else []),
            *([] if row.measured.early_peer_harmless else ["an early peer takes the port"]),
            *([] if row.as_expected else [f"EXPECTED {row.expected}"]),
        ]
        cells = (
            row.kind,
            "on" if row.hairpin else "off",
            _DEPENDS[seen.mapping],
            _DEPENDS[seen.filtering],
            "kept" if seen.preserves_port else "drawn",
            "are kept apart" if row.measured.equal_ports_apart else "may share it outside",
        )
        print(_LINE.format(*cells, ", ".join(remarks)).rstrip())
    for a in ends if pairs else ():
        apart = [row for row in pairs if row.first == a and not row.one_box]
        together = [row for row in pairs if row.first == a and row.one_box]
        direct = dict.fromkeys(row.second or "none" for row in apart if row.direct)
        behind_one = {f"one box, hairpin {'on' if row.hairpin else 'off'}" for row in together if row.direct}
        print(f"{a or 'none'}: direct with {', '.join([*direct, *sorted(behind_one)]) or 'nobody'}")
        for pair in (*apart, *together):
            if pair.direct != pair.expected:
                print(f"  NOT AS EXPECTED: {pair}")
