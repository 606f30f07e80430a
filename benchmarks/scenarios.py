"""Plays the scenarios of the lab, one after the other, and leaves a result of each.

    python -m benchmarks.scenarios [NAME ...]

Without names all of ``netns-lab list`` are played; ``--quick`` plays the first one only.
"""

import argparse
import functools
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.evidence import SCENARIO
from benchmarks.result import Figure, Measured, as_text, common_options, package_versions, record
from netns_lab.programs import own, own_environment
from netns_lab.scenarios import SCENARIOS
from re6st_core.errors import RouterError

_WITHIN_S = 600.0
_VERSIONS = "babeld", "wireguard-go", "openvpn", "nftables"
Report = Mapping[str, Any]  # Any: decoded JSON
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
    """Play one; RouterError when it leaves no report."""
    argv = [*own("netns-lab"), "run", name, "--json"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=own_environment()) as process:
        try:
            output, _ = process.communicate(timeout=_WITHIN_S)
        except subprocess.TimeoutExpired as exc:
            process.terminate()  # as Ctrl-C: it removes its lab
            raise RouterError(f"{name} did not end within {_WITHIN_S:g} s") from exc
    try:
        report = json.loads(output)
    except ValueError:
        raise RouterError(f"{name} printed no report, exit status {process.returncode}") from None
    if not isinstance(report, dict) or "verdict" not in report:
        raise RouterError(f"{name} printed something else than a report: {output[:80]!r}")
    return report


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
