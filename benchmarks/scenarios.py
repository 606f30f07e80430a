"""Plays the scenarios of the lab, one after the other, and leaves a result of each.

    python -m benchmarks.scenarios [NAME ...]

Without names all of ``netns-lab list`` are played; ``--quick`` plays the first one only.
"""

import argparse
import functools
import sys
from collections.abc import Callable, Sequence

from benchmarks.evidence import SCENARIO
from benchmarks.lab_command import Report, report_of
from benchmarks.result import Figure, Measured, as_text, common_options, package_versions, record
from netns_lab.scenarios import SCENARIOS

_WITHIN_S = 600.0
_VERSIONS = "babeld", "wireguard-go", "openvpn", "nftables"
Play = Callable[[str], Report]


def main(argv: Sequence[str] | None = None, play: Play | None = None) -> int:
    """Returns the exit status: 0 when every scenario ended as it is expected to."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scenarios",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="*", help="default: all")
    common_options(parser)
    options = parser.parse_args(argv)
    unknown = set(options.name) - set(SCENARIOS)
    if unknown:
        parser.error(f"no scenario {', '.join(sorted(unknown))}; there are: {', '.join(SCENARIOS)}")
    names = options.name or list(SCENARIOS)[: 1 if options.quick else None]
    as_expected = True
    for position, name in enumerate(names, 1):
        print(f"scenarios: {position} of {len(names)}: {name}", file=sys.stderr, flush=True)
        measure = functools.partial(play_one, name, play)
        command = f"netns-lab run {name} --json"
        result = record(SCENARIO + name, SCENARIOS[name].title, command, measure, options.results)
        as_expected &= result.failure is None and result.figures[0].met is True
        if not options.json:
            print(as_text(result))
    return 0 if as_expected else 1


def play_one(name: str, play: Play | None) -> Measured:
    """Play a scenario, as ``play`` does if given; its figures."""
    return measured((play or run_scenario)(name))


def run_scenario(name: str) -> Report:
    """Play one."""
    return report_of("run", name, "--json", within_s=_WITHIN_S)


def measured(report: Report) -> Measured:
    """The figures of a report, the verdict first."""
    expected = report.get("expected", "pass")
    verdict = report["verdict"]
    words = f"{verdict}, as expected" if verdict == expected == "fail" else verdict
    figures = [Figure("verdict", words, "", bound=expected, met=verdict == expected)]
    figures += [
        Figure(
            name, each["value"], each["unit"], bound=each["bound"], met=each["met"] if each["bound"] else None
        )
        for name, each in report["figures"].items()
    ]
    notes = [f"FAILED: {failure}" for failure in report.get("failures", ())]
    not_yet = report.get("not_yet")
    if not_yet:
        notes.append(f"expected to fail (issue {not_yet['issue']}): {not_yet['why']}")
    return Measured(figures, package_versions(*_VERSIONS), notes)


if __name__ == "__main__":
    sys.exit(main())
